-- Our users. Ory knows how somebody signs in; we know who they are to us.
create table people (
    id              text primary key,
    -- The bond: which of Ory's identities this user is. The check refuses other spellings of the ID.
    ory_identity_id text unique check (ory_identity_id = lower(ory_identity_id) and ory_identity_id like '________-____-____-____-____________'),
    email           text not null default '',
    name            text not null default '',
    created_at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
