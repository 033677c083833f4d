-- What the processes on one database share about sessions.
-- +goose Up

-- Which session a credential was once: the proof that a 401 needs. The key is a hash
-- from which no credential can be found. Rows of the day before yesterday go.
create table symbolon_sessions (
    credential blob primary key not null check (octet_length(credential) = 32),
    session_id text not null check (octet_length(session_id) = 36),
    seen_day   integer not null
) strict, without rowid;
create index symbolon_sessions_by_day on symbolon_sessions (seen_day);

-- Whom every process has to forget: an identity, a session, or '*'. They read it twice
-- a second.
create table symbolon_purges (
    id      integer primary key autoincrement,
    project text not null check (project <> ''),
    what    text not null check (what <> ''),
    at      text not null
) strict;
create index symbolon_purges_by_time on symbolon_purges (at);

update symbolon_layout set version = 4;
