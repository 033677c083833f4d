-- SQLite has octet_length since 3.43 only. An older sqlite3 shell or Python could read these
-- tables, but VACUUM and integrity_check failed: "unknown function: octet_length()". The
-- length of a blob is the same number in every version.
-- +goose Up

-- ALTER TABLE cannot change a CHECK. SQLite's documentation allows this way for changes that
-- no stored row can break (https://sqlite.org/lang_altertable.html, section 7).
pragma writable_schema = on;
update sqlite_schema set sql = replace(replace(replace(replace(sql,
    'octet_length(identity_id)', 'length(cast(identity_id as blob))'),
    'octet_length(ory_identity_id)', 'length(cast(ory_identity_id as blob))'),
    'octet_length(session_id)', 'length(cast(session_id as blob))'),
    'octet_length(credential)', 'length(cast(credential as blob))')
where type = 'table' and name glob 'symbolon_*';
pragma writable_schema = reset;

-- A slower program may repeat this migration after a faster one has made them all.
update symbolon_layout set version = 6 where version < 6;
