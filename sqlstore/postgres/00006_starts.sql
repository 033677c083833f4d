-- When a project's ledger began, and whether identities that are older than it get new users.
-- +goose Up

-- The row with the empty project is the ledger itself. The first project takes its
-- created_at; the ledger of a later project begins when its first program starts.
create table symbolon.starts (
    project    text primary key,
    created_at timestamptz not null,
    settled_at timestamptz,
    settled_by text not null default ''
);
insert into symbolon.starts (project, created_at) values ('', clock_timestamp());

-- A project that has bonds started before this migration, and goes on as it was.
insert into symbolon.starts (project, created_at, settled_at, settled_by)
select distinct project, statement_timestamp(), statement_timestamp(), 'bonds' from symbolon.links
where state in ('linked', 'forgotten', 'gone', 'erased');

update symbolon.layout set version = 6;
