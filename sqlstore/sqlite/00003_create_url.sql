-- The users of an application that makes them itself (users.create_url): which of
-- them were heard of, and which identity each has.
-- +goose Up
create table symbolon_remote_users (
    id              text primary key not null check (id <> ''),
    ory_identity_id text unique check (octet_length(ory_identity_id) = 36 and ory_identity_id <> '00000000-0000-0000-0000-000000000000'
        and ory_identity_id glob '[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f]-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f]')
) strict, without rowid;
update symbolon_layout set version = 3;
