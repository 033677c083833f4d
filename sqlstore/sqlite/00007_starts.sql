-- When a project's ledger began, and whether identities that are older than it get new users.
-- +goose Up

-- The row with the empty project is the ledger itself. The first project takes its
-- created_at; the ledger of a later project begins when its first program starts.
create table symbolon_starts (
    project    text not null primary key,
    created_at text not null,
    settled_at text,
    settled_by text not null default ''
) strict;
insert into symbolon_starts (project, created_at) values ('', strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z');

-- A project that has bonds started before this migration, and goes on as it was.
insert into symbolon_starts (project, created_at, settled_at, settled_by)
select distinct project, strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z', 'bonds' from symbolon_links
where state in ('linked', 'forgotten', 'gone', 'erased');

update symbolon_layout set version = 7;
