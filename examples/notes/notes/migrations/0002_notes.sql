-- Notes belong to the user, never to the identity: the identity may be replaced (another e-mail, another way to sign in, another
-- Ory project), and the notes stay.
create table notes (
    id         integer primary key autoincrement,
    user_id    text not null references people (id) on delete cascade,
    body       text not null,
    created_at text not null default (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) strict;

create index notes_of_user on notes (user_id, id);
