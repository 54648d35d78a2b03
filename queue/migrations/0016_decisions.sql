-- Why each message was decided as it was, in the words of that day: the steps stand once for all messages that were decided alike.

-- One row for each user, Row and Model that mail goes by, and one more with each change of a setting that decides about it: 1 to 2 KB.
CREATE TABLE mailroom.decision (
    id      bigint PRIMARY KEY, -- of what is in it, the same whoever writes it (queue/decision_store)
    why     jsonb NOT NULL,     -- docs/explain.md, "Decisions"
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp() -- messages were decided so at that time, or for half a day after it
);

ALTER TABLE mailroom.story ADD COLUMN decision bigint; -- NULL: nothing was decided, or by an older dispatcher
ALTER TABLE mailroom.log ADD COLUMN decision bigint;

GRANT SELECT, INSERT, UPDATE (seen_at), DELETE ON mailroom.decision TO mailroom_worker;
GRANT SELECT ON mailroom.decision TO mailroom_operator;
