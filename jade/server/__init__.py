"""The embedded server: it speaks W&B's protocol to the real client, on one machine, without an account."""
