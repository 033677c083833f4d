-- What the replicas of a program share about sessions.
-- +goose Up

-- Which session a credential was once: the proof that a 401 needs. The key is a hash
-- from which no credential can be found. Rows of the day before yesterday go.
create table symbolon.sessions (
    credential bytea primary key check (octet_length(credential) = 32),
    session_id uuid not null,
    seen_day   integer not null
);
create index sessions_by_day on symbolon.sessions (seen_day);

-- Whom every replica has to forget: an identity, a session, or '*'. They read it twice
-- a second; a notification makes it at once.
create table symbolon.purges (
    id      bigint generated always as identity primary key,
    project text not null check (project <> ''),
    what    text not null check (what <> ''),
    at      timestamptz not null
);
create index purges_by_time on symbolon.purges (at);

-- +goose StatementBegin
create function symbolon.tell_purge() returns trigger language plpgsql as $$ begin
    perform pg_notify('symbolon_purges', '');
    return null;
end $$;
-- +goose StatementEnd
create trigger purges_tell after insert on symbolon.purges for each statement execute function symbolon.tell_purge();

update symbolon.layout set version = 4;
