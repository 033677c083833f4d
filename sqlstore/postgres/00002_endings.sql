-- How bonds end, runs over everybody, and the evidence of erasures.
-- +goose Up

-- 'gone': Ory no longer has the identity, which was proved. 'erased': both halves were
-- erased, by the operator's word. Neither ever becomes linked by itself.
-- +goose StatementBegin
do $$ declare old text; begin
    select conname into old from pg_constraint
    where conrelid = 'symbolon.links'::regclass and contype = 'c' and pg_get_constraintdef(oid) like '%''forgotten''%' and pg_get_constraintdef(oid) like '%''new''%';
    execute format('alter table symbolon.links drop constraint %I', old);
end $$;
-- +goose StatementEnd
alter table symbolon.links add constraint links_state_known
    check (state in ('new', 'linked', 'held', 'forgotten', 'gone', 'erased')) not valid;
alter table symbolon.links validate constraint links_state_known;
drop index symbolon.links_by_user;
create index links_by_user on symbolon.links (user_id, project) where state in ('held', 'forgotten', 'gone', 'erased');

-- Long work that survives a kill. Whoever holds the lease works; checkpoint says how
-- far it is, as the kind of work writes it.
create table symbolon.runs (
    id          text primary key check (id <> ''),
    project     text not null check (project <> ''),
    kind        text not null check (kind <> ''),
    state       text not null check (state in ('running', 'done', 'failed')),
    checkpoint  text not null default '',
    detail      text not null default '',
    lease_until timestamptz,
    started_at  timestamptz not null,
    updated_at  timestamptz not null,
    ended_at    timestamptz
);
create index runs_by_kind on symbolon.runs (project, kind, started_at);

-- What was erased, when and how: the evidence, without anything about the person but
-- the IDs of the two halves. At most one erasure of an identity, and of a user, is
-- under way.
create table symbolon.erasures (
    id           text primary key check (id <> ''),
    project      text not null check (project <> ''),
    identity_id  text check (identity_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                             and identity_id <> '00000000-0000-0000-0000-000000000000'),
    user_id      text check (user_id <> ''),
    row_policy   text not null check (row_policy in ('anonymise', 'delete')),
    why          text not null default '',
    step         text not null,
    evidence     text not null default '[]',
    attempts     integer not null default 0,
    last_error   text not null default '',
    requested_at timestamptz not null,
    updated_at   timestamptz not null,
    done_at      timestamptz,
    check (identity_id is not null or user_id is not null)
);
create unique index erasures_one_of_an_identity on symbolon.erasures (project, identity_id) where done_at is null and identity_id is not null;
create unique index erasures_one_of_a_user on symbolon.erasures (project, user_id) where done_at is null and user_id is not null;

update symbolon.layout set version = 2;
