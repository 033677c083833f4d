-- A user may have further identities beside its own, and two users may be merged.
-- +goose Up

-- also is the user that an operator gave to the identity as a further one. It is in force
-- while the entry is held with the reason 'moved' and names the same user. A program that
-- does not know the column denies the identity.
alter table symbolon_links add column also text check (also <> '');
create index symbolon_links_also on symbolon_links (also, project) where also is not null;

-- Users that were merged into another user. moved says whether the application moved its
-- own data in the same transaction.
create table symbolon_merges (
    project     text not null check (project <> ''),
    from_id     text not null check (from_id <> ''),
    into_id     text not null check (into_id <> ''),
    identity_id text not null,
    moved       integer not null,
    merged_at   text not null,
    primary key (from_id, project)
) strict, without rowid;

update symbolon_layout set version = 9;
