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

-- ---- keys

-- Whether another living dispatcher has every key that this one has, and one more that a secret is sealed with: it sends all that this one can, and
-- what this one would hold. Of two who lack a key of the other's neither leaves the mail to the other, or nobody sent.
CREATE FUNCTION mailroom.another_opens_more(one mailroom.dispatcher) RETURNS boolean LANGUAGE sql STABLE SET search_path = mailroom, pg_temp AS $$
    SELECT EXISTS (SELECT FROM dispatcher d CROSS JOIN LATERAL unnest(d.key_ids) k
                    WHERE d.beat_at + d.lease > clock_timestamp() AND one.key_ids <@ d.key_ids AND k <> ALL (one.key_ids)
                      AND EXISTS (SELECT FROM sealed_secrets() s WHERE key_of(s) = k)) -- read only while one lacks a key
$$;

-- ---- who may do what

-- An administrator releases and reassigns what the settings held, and counts first.
GRANT EXECUTE ON FUNCTION mailroom.preview(text, jsonb, jsonb),
      mailroom.release_messages(jsonb, jsonb, bigint, integer), mailroom.reassign_messages(jsonb, jsonb, bigint, integer) TO mailroom_administrator;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailroom.another_opens_more(mailroom.dispatcher), mailroom.sealed_secrets(), mailroom.key_of(bytea) TO mailroom_worker;
