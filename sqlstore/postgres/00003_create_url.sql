-- The users of an application that makes them itself (users.create_url): which of
-- them were heard of, and which identity each has.
-- +goose Up
create table symbolon.remote_users (
    id              text primary key check (id <> ''),
    ory_identity_id text unique check (ory_identity_id ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                                       and ory_identity_id <> '00000000-0000-0000-0000-000000000000')
);
update symbolon.layout set version = 3;
