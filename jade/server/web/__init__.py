"""The web pages of the server: read only, made on the server, complete without JavaScript.

From the request inwards: `site` (which address shows what), `responses` (what every answer carries), then one
file per page, which turns rows of the store into what a template shows.
"""
