-- Symbolon's ledger. Forward only: what was committed is never undone.
-- +goose Up

-- Which of these migrations the tables are at, whoever ran them.
create table symbolon_layout (
    version integer not null
) strict;
insert into symbolon_layout (version) values (1);

-- One entry for every identity that was ever looked at. 'new' only lives inside
-- a transaction: it is the lock on an identity that has no entry yet. Times are
-- text, UTC, with microseconds, so that they compare as they follow.
create table symbolon_links (
    project        text not null check (project <> ''),
    identity_id    text not null check (octet_length(identity_id) = 36 and identity_id <> '00000000-0000-0000-0000-000000000000'
        and identity_id glob '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    user_id        text check (user_id <> ''),
    state          text not null check (state in ('new', 'linked', 'held', 'forgotten')),
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
-- The user comes first: a planner without statistics takes every project for a
-- handful of rows.
create unique index symbolon_links_one_identity_per_user on symbolon_links (user_id, project) where state = 'linked';
create index symbolon_links_by_user on symbolon_links (user_id, project) where state in ('held', 'forgotten');

-- IDs that were a user's once and are never given out again.
create table symbolon_retired (
    project    text not null check (project <> ''),
    user_id    text not null check (user_id <> ''),
    retired_at text not null,
    primary key (user_id, project)
) strict, without rowid;

-- What changed and why, in the transaction of the change.
create table symbolon_events (
    id          integer primary key autoincrement,
    project     text not null check (project <> ''),
    at          text not null,
    kind        text not null check (kind <> ''),
    identity_id text check (octet_length(identity_id) = 36 and identity_id <> '00000000-0000-0000-0000-000000000000'
        and identity_id glob '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    user_id     text check (user_id <> ''),
    before_id   text check (before_id <> ''),
    way         text not null default '',
    finding     text not null default '',
    detail      text not null default ''
) strict;
create index symbolon_events_by_identity on symbolon_events (project, identity_id, id);
create index symbolon_events_by_user on symbolon_events (project, user_id, id);
create index symbolon_events_by_former_user on symbolon_events (project, before_id, id) where before_id is not null;
create index symbolon_events_claims_refused on symbolon_events (project, at) where kind = 'claim.refused';

-- Differences between the two halves: one open finding of a kind per identity.
create table symbolon_findings (
    id          integer primary key autoincrement,
    project     text not null check (project <> ''),
    identity_id text not null check (octet_length(identity_id) = 36 and identity_id <> '00000000-0000-0000-0000-000000000000'
        and identity_id glob '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    kind        text not null check (kind <> ''),
    user_id     text check (user_id <> ''),
    detail      text not null default '',
    opened_at   text not null,
    closed_at   text
) strict;
create unique index symbolon_findings_one_open_of_a_kind on symbolon_findings (project, identity_id, kind) where closed_at is null;

-- Readings of Ory are numbered before they begin.
create table symbolon_tickets (
    one integer primary key check (one = 1),
    n   integer not null
) strict;
insert into symbolon_tickets (one, n) values (1, 0);

-- The users of applications that have no table of their own.
create table symbolon_users (
    id              text primary key not null check (id <> '')
        default (lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' || substr(hex(randomblob(2)), 2)
            || '-' || substr('89ab', 1 + (abs(random()) % 4), 1) || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6)))),
    ory_identity_id text unique check (octet_length(ory_identity_id) = 36 and ory_identity_id <> '00000000-0000-0000-0000-000000000000'
        and ory_identity_id glob '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]'),
    email           text,
    name            text,
    active          boolean not null default true check (active in (0, 1)),
    created_at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    updated_at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

-- +goose StatementBegin
create trigger symbolon_users_touch after update on symbolon_users when new.updated_at = old.updated_at begin
    update symbolon_users set updated_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now') where id = new.id;
end;
-- +goose StatementEnd
