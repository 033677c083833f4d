-- Symbolon's ledger. Forward only: what was committed is never undone.
-- +goose Up

-- A role that may not create schemas can have this one made for it beforehand.
-- +goose StatementBegin
do $$ begin
    if to_regnamespace('symbolon') is null then
        create schema symbolon;
    end if;
end $$;
-- +goose StatementEnd

-- Which of these migrations the tables are at, whoever ran them.
create table symbolon.layout (
    version integer not null
);
insert into symbolon.layout (version) values (1);

-- One entry for every identity that was ever looked at. 'new' only lives inside
-- a transaction: it is the lock on an identity that has no entry yet.
create table symbolon.links (
    project        text not null check (project <> ''),
    identity_id    text not null check (identity_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                        and identity_id <> '00000000-0000-0000-0000-000000000000'),
    user_id        text check (user_id <> ''),
    state          text not null check (state in ('new', 'linked', 'held', 'forgotten')),
    reason         text not null default '',
    way            text not null default '',
    linked_at      timestamptz,
    ticket         bigint not null default 0 check (ticket >= 0),
    digest         text not null default '',
    back_reference text not null default '',
    primary key (project, identity_id),
    check (state not in ('linked', 'forgotten') or (user_id is not null and linked_at is not null)),
    check (state <> 'held' or reason <> '')
);
-- The user comes first: a planner without statistics takes every project for a
-- handful of rows.
create unique index links_one_identity_per_user on symbolon.links (user_id, project) where state = 'linked';
create index links_by_user on symbolon.links (user_id, project) where state in ('held', 'forgotten');

-- IDs that were a user's once and are never given out again.
create table symbolon.retired (
    project    text not null check (project <> ''),
    user_id    text not null check (user_id <> ''),
    retired_at timestamptz not null,
    primary key (user_id, project)
);

-- What changed and why, in the transaction of the change.
create table symbolon.events (
    id          bigint generated always as identity primary key,
    project     text not null check (project <> ''),
    at          timestamptz not null,
    kind        text not null check (kind <> ''),
    identity_id text check (identity_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                            and identity_id <> '00000000-0000-0000-0000-000000000000'),
    user_id     text check (user_id <> ''),
    before_id   text check (before_id <> ''),
    way         text not null default '',
    finding     text not null default '',
    detail      text not null default ''
);
create index events_by_identity on symbolon.events (project, identity_id, id);
create index events_by_user on symbolon.events (project, user_id, id);
create index events_by_former_user on symbolon.events (project, before_id, id) where before_id is not null;
create index events_claims_refused on symbolon.events (project, at) where kind = 'claim.refused';

-- Differences between the two halves: one open finding of a kind per identity.
create table symbolon.findings (
    id          bigint generated always as identity primary key,
    project     text not null check (project <> ''),
    identity_id text not null check (identity_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                     and identity_id <> '00000000-0000-0000-0000-000000000000'),
    kind        text not null check (kind <> ''),
    user_id     text check (user_id <> ''),
    detail      text not null default '',
    opened_at   timestamptz not null,
    closed_at   timestamptz
);
create unique index findings_one_open_of_a_kind on symbolon.findings (project, identity_id, kind) where closed_at is null;

-- Readings of Ory are numbered before they begin.
create sequence symbolon.tickets;

-- The users of applications that have no table of their own. It lies where the
-- application's tables lie. A role that may not create tables there has one of its own, and
-- needs no such right.
-- +goose StatementBegin
do $$ begin
    if coalesce(has_schema_privilege(current_schema(), 'create'), false) then
        create table symbolon_users (
            id              uuid primary key default gen_random_uuid(),
            ory_identity_id uuid unique check (ory_identity_id <> '00000000-0000-0000-0000-000000000000'),
            email           text,
            name            text,
            active          boolean not null default true,
            created_at      timestamptz not null default now(),
            updated_at      timestamptz not null default now()
        );
    end if;
end $$;
-- +goose StatementEnd

-- +goose StatementBegin
create function symbolon.touch() returns trigger language plpgsql as $$ begin
    new.updated_at := now();
    return new;
end $$;
-- +goose StatementEnd
-- +goose StatementBegin
do $$ begin
    if to_regclass('symbolon_users') is not null then
        create trigger symbolon_users_touch before update on symbolon_users for each row execute function symbolon.touch();
    end if;
end $$;
-- +goose StatementEnd
