-- How bonds end, runs over everybody, and the evidence of erasures.
-- +goose Up

-- SQLite cannot change a check: the ledger is copied into a table that knows the new
-- states. 'gone': Ory no longer has the identity, which was proved. 'erased': both
-- halves were erased, by the operator's word. Neither ever becomes linked by itself.
create table symbolon_links_next (
    project        text not null check (project <> ''),
    identity_id    text not null check (octet_length(identity_id) = 36 and identity_id <> '00000000-0000-0000-0000-000000000000'
        and identity_id glob '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    user_id        text check (user_id <> ''),
    state          text not null check (state in ('new', 'linked', 'held', 'forgotten', 'gone', 'erased')),
    reason         text not null default '',
    way            text not null default '',
    linked_at      text,
    ticket         integer not null default 0 check (ticket >= 0),
    digest         text not null default '',
    back_reference text not null default '',
    primary key (project, identity_id),
    check (state not in ('linked', 'forgotten') or (user_id is not null and linked_at is not null)),
    check (state <> 'held' or reason <> '')
) strict, without rowid;
insert into symbolon_links_next (project, identity_id, user_id, state, reason, way, linked_at, ticket, digest, back_reference)
select project, identity_id, user_id, state, reason, way, linked_at, ticket, digest, back_reference from symbolon_links;
drop table symbolon_links;
alter table symbolon_links_next rename to symbolon_links;
create unique index symbolon_links_one_identity_per_user on symbolon_links (user_id, project) where state = 'linked';
create index symbolon_links_by_user on symbolon_links (user_id, project) where state in ('held', 'forgotten', 'gone', 'erased');

-- Long work that survives a kill. Whoever holds the lease works; checkpoint says how
-- far it is, as the kind of work writes it.
create table symbolon_runs (
    id          text primary key not null check (id <> ''),
    project     text not null check (project <> ''),
    kind        text not null check (kind <> ''),
    state       text not null check (state in ('running', 'done', 'failed')),
    checkpoint  text not null default '',
    detail      text not null default '',
    lease_until text,
    started_at  text not null,
    updated_at  text not null,
    ended_at    text
) strict, without rowid;
create index symbolon_runs_by_kind on symbolon_runs (project, kind, started_at);

-- What was erased, when and how: the evidence, without anything about the person but
-- the IDs of the two halves. At most one erasure of an identity, and of a user, is
-- under way.
create table symbolon_erasures (
    id           text primary key not null check (id <> ''),
    project      text not null check (project <> ''),
    identity_id  text check (octet_length(identity_id) = 36 and identity_id <> '00000000-0000-0000-0000-000000000000'
        and identity_id glob '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    user_id      text check (user_id <> ''),
    row_policy   text not null check (row_policy in ('anonymise', 'delete')),
    why          text not null default '',
    step         text not null,
    evidence     text not null default '[]',
    attempts     integer not null default 0,
    last_error   text not null default '',
    requested_at text not null,
    updated_at   text not null,
    done_at      text,
    check (identity_id is not null or user_id is not null)
) strict, without rowid;
create unique index symbolon_erasures_one_of_an_identity on symbolon_erasures (project, identity_id) where done_at is null and identity_id is not null;
create unique index symbolon_erasures_one_of_a_user on symbolon_erasures (project, user_id) where done_at is null and user_id is not null;

update symbolon_layout set version = 2;
