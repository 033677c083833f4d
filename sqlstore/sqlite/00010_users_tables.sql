-- Which users table a project's links belong to.
-- +goose Up

-- Empty until the project's next program starts. The links name users by the keys of this
-- table, so they mean other people in another table.
alter table symbolon_starts add column users_table text not null default '';

update symbolon_layout set version = 10;
