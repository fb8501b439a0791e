-- The tables as version 2 of the server's data had them, from its source.
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE projects (
    id INTEGER PRIMARY KEY,
    entity TEXT NOT NULL, name TEXT NOT NULL, description TEXT, created_at REAL NOT NULL,
    UNIQUE (entity, name)
);

-- config and summary as the client sent them: JSON text, in which NaN may stand.
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    state TEXT NOT NULL,
    sweep INTEGER REFERENCES sweeps ON DELETE SET NULL,
    config TEXT NOT NULL DEFAULT '{}',
    summary TEXT NOT NULL DEFAULT '{}',
    tags TEXT NOT NULL DEFAULT '[]',
    notes TEXT, description TEXT, group_name TEXT, job_type TEXT, host TEXT, program TEXT, commit_hash TEXT,
    repo TEXT,
    created_at REAL NOT NULL,
    heartbeat_at REAL NOT NULL,
    exit_code INTEGER,
    is_preempting INTEGER NOT NULL DEFAULT 0,
    life INTEGER NOT NULL DEFAULT 0,  -- how often it has begun anew under its id
    stop_asked_at REAL,
    UNIQUE (project, name)
);
CREATE INDEX runs_of_sweep ON runs (sweep);
CREATE INDEX live_runs ON runs (heartbeat_at) WHERE state IN ('running', 'preempting');

-- What a client streams, line by line: history, system metrics, console. step is the _step of a history line.
CREATE TABLE lines (
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    file TEXT NOT NULL, number INTEGER NOT NULL, step REAL, text TEXT NOT NULL,
    PRIMARY KEY (run, file, number)
) WITHOUT ROWID;

CREATE TABLE files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    name TEXT NOT NULL,
    blob TEXT NOT NULL, size INTEGER NOT NULL, md5 TEXT NOT NULL, updated_at REAL NOT NULL,
    UNIQUE (run, name)
);

CREATE TABLE sweeps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    name TEXT NOT NULL UNIQUE,
    display_name TEXT, description TEXT,
    config TEXT NOT NULL,
    controller TEXT, scheduler TEXT,
    state TEXT NOT NULL,
    seed INTEGER NOT NULL,
    created_at REAL NOT NULL, updated_at REAL NOT NULL
);

CREATE TABLE agents (
    id INTEGER PRIMARY KEY,
    sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
    host TEXT NOT NULL, created_at REAL NOT NULL, heartbeat_at REAL NOT NULL
);

-- A trial is one point of a sweep's space. Its run may be handed out several times, and replaced by another.
CREATE TABLE trials (
    id INTEGER PRIMARY KEY,
    sweep INTEGER NOT NULL REFERENCES sweeps ON DELETE CASCADE,
    number INTEGER NOT NULL,
    params TEXT NOT NULL,
    run TEXT NOT NULL,
    agent INTEGER REFERENCES agents ON DELETE SET NULL,
    status TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 1,
    failures INTEGER NOT NULL DEFAULT 0,  -- those after which it began anew
    given_at REAL,
    UNIQUE (sweep, number)
);
CREATE INDEX trials_of_run ON trials (run);

-- What belongs to artifacts has ids that are never given twice, for clients keep them and addresses of files
-- hold them; nor is the version of a collection.
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
    type TEXT NOT NULL, name TEXT NOT NULL, description TEXT, tags TEXT NOT NULL DEFAULT '[]',
    versions INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL, updated_at REAL NOT NULL,
    UNIQUE (project, name)
);

-- same_as is the version that a second client has committed first, with the same contents.
CREATE TABLE artifacts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    run INTEGER REFERENCES runs ON DELETE SET NULL,
    version INTEGER, digest TEXT NOT NULL, state TEXT NOT NULL,
    same_as INTEGER REFERENCES artifacts ON DELETE CASCADE,
    description TEXT, metadata TEXT, history_step INTEGER, tags TEXT NOT NULL DEFAULT '[]',
    wanted_aliases TEXT NOT NULL DEFAULT '[]',
    size INTEGER NOT NULL DEFAULT 0, file_count INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL, updated_at REAL NOT NULL
);
CREATE INDEX artifacts_of_collection ON artifacts (collection, digest);
CREATE INDEX artifacts_by_same ON artifacts (same_as);

-- What a client calls an artifact before it has an id.
CREATE TABLE artifact_clients (
    client_id TEXT PRIMARY KEY,
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX clients_of_artifact ON artifact_clients (artifact);

CREATE TABLE aliases (
    id INTEGER PRIMARY KEY,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    alias TEXT NOT NULL,
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    UNIQUE (collection, alias)
);
CREATE INDEX aliases_of_artifact ON aliases (artifact);

CREATE TABLE manifests (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    name TEXT NOT NULL, digest TEXT NOT NULL, blob TEXT, size INTEGER, md5 TEXT
);
CREATE INDEX manifests_of_artifact ON manifests (artifact);

-- The entries of an artifact: a file, whose blob other artifacts may share, or a reference.
CREATE TABLE artifact_files (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    name TEXT NOT NULL, md5 TEXT NOT NULL, reference TEXT, blob TEXT, size INTEGER, updated_at REAL NOT NULL,
    UNIQUE (artifact, name)
);
CREATE INDEX artifact_files_by_digest ON artifact_files (md5);
CREATE INDEX artifact_files_by_blob ON artifact_files (blob);

-- role is "output" for the runs that have logged an artifact, "input" for those that have used it.
CREATE TABLE artifact_runs (
    artifact INTEGER NOT NULL REFERENCES artifacts ON DELETE CASCADE,
    run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
    role TEXT NOT NULL,
    PRIMARY KEY (artifact, run, role)
) WITHOUT ROWID;
CREATE INDEX artifacts_of_run ON artifact_runs (run);

PRAGMA user_version = 2;
