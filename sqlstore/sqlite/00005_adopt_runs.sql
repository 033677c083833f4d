-- What undoing an adoption needs is data. Until now it was read out of the sentence.
-- +goose Up

-- run is the adoption run in which the change was made; empty for all other events.
-- adopted is set on the user.linked event of an adoption: a JSON object with by,
-- column_set and was_on_hold.
alter table symbolon_events add column run text not null default '';
alter table symbolon_events add column adopted text not null default '';

-- The sentences that are there are read once. They are
--   adopt RUN: by PROOF[; its column was set][; it was on hold: FINDING]
--   adopt RUN: undone
-- +goose StatementBegin
with sentence as (
    select id, substr(detail, 7, instr(detail, ': ') - 7) as run, substr(detail, instr(detail, ': ') + 2) as why
    from symbolon_events where way = 'adopt' and detail like 'adopt %: %'
), hold as (
    select id, run, why, instr(why || '; it was on hold: ', '; it was on hold: ') as at from sentence
), bond as (
    select id, run, substr(why, 1, at - 1) as proof, substr(why, at + length('; it was on hold: ')) as was_on_hold from hold
)
update symbolon_events as e
set run = bond.run,
    adopted = case when e.kind <> 'user.linked' then '' else json_object(
        'by', substr(replace(bond.proof, '; its column was set', ''), 4),
        'column_set', json(case when bond.proof like '%; its column was set' then 'true' else 'false' end),
        'was_on_hold', bond.was_on_hold) end
from bond where e.id = bond.id;
-- +goose StatementEnd

-- A finding that was opened or closed beside a bond had a sentence of its own. Both
-- events have one time, because they were written in one transaction.
update symbolon_events as e set run = bond.run from symbolon_events as bond
where e.way = 'adopt' and e.run = '' and bond.run <> ''
and bond.project = e.project and bond.identity_id = e.identity_id and bond.at = e.at;

create index symbolon_events_by_run on symbolon_events (project, run, id) where run <> '';

update symbolon_layout set version = 5;
