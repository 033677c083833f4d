-- Our users. Ory knows how somebody signs in; we know who they are to us.
create table people (
    id              text primary key,
    ory_identity_id text unique,             -- the bond: which of Ory's identities this user is
    email           text not null default '',
    name            text not null default '',
    created_at      text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;
