-- Which address Ory had verified when a bond ended, for people who come back with a new identity.
-- +goose Up

-- address is an HMAC of the verified address, never the address. It says something only if
-- address_ticket is the entry's ticket: a later reading that recorded no address replaced it.
alter table symbolon.links add column address text not null default '';
alter table symbolon.links add column address_ticket bigint not null default 0;
create index links_by_address on symbolon.links (address, project) where state = 'gone' and address <> '';

update symbolon.layout set version = 7;
