-- Upkeep: generations turn, what is past its retention is cleared away (docs/decisions/generations-in-a-ring.md).
-- Every function does one bounded step, waits for no lock longer than a tenth of a second, and may be called by several at the same time.

-- How long a generation is written to. A ring has 16: with a twelfth of the retention each, twelve or thirteen are waiting for their end, one is
-- open, and two or three are empty. At least a day, so that the partitions of a quiet installation are not emptied every few hours.
CREATE FUNCTION mailroom.period(retention interval) RETURNS interval LANGUAGE sql IMMUTABLE AS $$ SELECT greatest(interval '1 day', retention / 12) $$;

-- Whether a message of this generation of content is in the queue. Its content was written by the transaction that enqueued it, so the ids of what
-- stands in the partition bound the ids to look for. Sure only while nobody can write to the partition: see empty_generation.
CREATE FUNCTION mailroom.has_live(slot smallint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    lowest bigint;
    highest bigint;
BEGIN
    EXECUTE format('SELECT min(id), max(id) FROM mailroom.content_%s WHERE generation = %1$s', slot) INTO lowest, highest;
    RETURN EXISTS (SELECT FROM mailroom.queue q WHERE q.id BETWEEN lowest AND highest AND q.generation = slot);
END $$;

-- Opens the next generation of a ring when the open one is older than its period, and notes which closed ones no live message is in any more.
-- opened: the new one, if there is. stuck: it is time for one, but none is empty; then what is written goes on into the present one.
CREATE FUNCTION mailroom.turn_ring(turned text, retention interval, OUT opened smallint, OUT stuck boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    present smallint;
    slot smallint;
BEGIN
    stuck := false;
    PERFORM set_config('lock_timeout', '100ms', true);
    PERFORM FROM generation g WHERE g.ring = turned AND g.generation = 0 FOR UPDATE SKIP LOCKED; -- the first one's row is the lock of its ring
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF turned = 'content' THEN -- a message of a transaction that was open for long may appear in one that had none
        FOR slot IN SELECT g.generation FROM generation g WHERE g.ring = turned AND g.closed_at IS NOT NULL ORDER BY g.generation LOOP
            IF has_live(slot) THEN
                UPDATE generation g SET drained_at = NULL WHERE g.ring = turned AND g.generation = slot AND g.drained_at IS NOT NULL;
            ELSE
                UPDATE generation g SET drained_at = clock_timestamp() WHERE g.ring = turned AND g.generation = slot AND g.drained_at IS NULL;
            END IF;
        END LOOP;
    END IF;
    SELECT CASE turned WHEN 'content' THEN content_generation ELSE history_generation END INTO STRICT present FROM installation;
    IF NOT EXISTS (SELECT FROM generation g WHERE g.ring = turned AND g.generation = present AND g.opened_at <= clock_timestamp() - period(retention)) THEN
        RETURN;
    END IF;
    SELECT g.generation INTO opened FROM generation g WHERE g.ring = turned AND g.opened_at IS NULL ORDER BY (g.generation - present + 16) % 16 LIMIT 1;
    IF opened IS NULL THEN
        stuck := true;
        RETURN;
    END IF;
    UPDATE installation SET content_generation = CASE turned WHEN 'content' THEN opened ELSE content_generation END,
                            history_generation = CASE turned WHEN 'history' THEN opened ELSE history_generation END;
    UPDATE generation g SET closed_at = clock_timestamp() WHERE g.ring = turned AND g.generation = present;
    UPDATE generation g SET opened_at = clock_timestamp(), closed_at = NULL, drained_at = NULL WHERE g.ring = turned AND g.generation = opened;
EXCEPTION WHEN lock_not_available THEN -- somebody is saving settings: next time
    opened := NULL;
    stuck := false;
END $$;

-- Empties the oldest generation of a ring that is past its retention: content that long after the last message in it ended, history that long
-- after it was closed. Returns which; NULL: none, or somebody still reads or writes there.
--
-- No live message can lose its content by this. Whoever writes to a partition holds a lock on it until its transaction ends, so once ours is granted,
-- every message with something in here is committed and seen by the next statement's snapshot, or was rolled back. A transaction that learned the
-- number of this generation and has not yet written here has nothing to lose: what it writes comes into the empty partition, and stands there, seen by
-- has_live, until this generation has been open and closed once more.
CREATE FUNCTION mailroom.empty_generation(turned text, retention interval) RETURNS smallint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    slot smallint;
    partitions text;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'mailroom.empty_generation: needs a fresh snapshot after its locks: call it at READ COMMITTED';
    END IF;
    PERFORM set_config('lock_timeout', '100ms', true); -- whoever comes after us waits for as long as we do
    PERFORM FROM generation g WHERE g.ring = turned AND g.generation = 0 FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT g.generation INTO slot FROM generation g
     WHERE g.ring = turned AND CASE turned WHEN 'content' THEN g.drained_at ELSE g.closed_at END <= clock_timestamp() - retention
     ORDER BY g.closed_at LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT string_agg(format('mailroom.%I', parent || '_' || slot), ', ') INTO partitions
      FROM unnest(CASE turned WHEN 'content' THEN ARRAY['content', 'attachment', 'blob', 'recipient_result'] ELSE ARRAY['story', 'log'] END) parent;
    EXECUTE 'LOCK TABLE ' || partitions || ' IN ACCESS EXCLUSIVE MODE';
    IF turned = 'content' AND has_live(slot) THEN
        UPDATE generation g SET drained_at = NULL WHERE g.ring = turned AND g.generation = slot;
        RETURN NULL;
    END IF;
    EXECUTE 'TRUNCATE ' || partitions; -- the partitions by name: never their parents
    UPDATE generation g SET opened_at = NULL, closed_at = NULL, drained_at = NULL WHERE g.ring = turned AND g.generation = slot;
    RETURN slot;
EXCEPTION WHEN lock_not_available THEN
    RETURN NULL;
END $$;

-- Live messages that wait for long keep a generation from being emptied. When fewer than three are empty, moves the content of the next up to
-- 1,000 messages (ids above `after`, 64 MiB) of the oldest such generation into the open one. What a dispatcher has stays where it was told to read.
-- moved 0: there is nothing to do (above `after`). last: the `after` of the next step.
CREATE FUNCTION mailroom.unpin_generation(retention interval, after bigint, OUT moved integer, OUT last bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    old smallint;
    present smallint;
    lowest bigint;
    highest bigint;
    ids bigint[];
BEGIN
    moved := 0;
    last := after;
    SELECT content_generation INTO STRICT present FROM installation;
    SELECT g.generation INTO old FROM generation g
     WHERE g.ring = 'content' AND g.drained_at IS NULL AND g.closed_at <= clock_timestamp() - period(retention) -- what was closed just now drains by itself
       AND (SELECT count(*) FROM generation e WHERE e.ring = 'content' AND e.opened_at IS NULL) < 3
     ORDER BY g.closed_at LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    EXECUTE format('SELECT min(id), max(id) FROM mailroom.content_%s WHERE generation = %1$s', old) INTO lowest, highest;
    SELECT array_agg(few.id), max(few.id) INTO ids, last FROM (
        SELECT q.id, sum(q.size) OVER (ORDER BY q.id) - q.size AS before FROM (
            SELECT c.id, c.size FROM queue c WHERE c.generation = old AND c.state = 0 AND c.id > after AND c.id BETWEEN lowest AND highest ORDER BY c.id LIMIT 1000) q) few
     WHERE few.before < 67108864;
    SELECT array_agg(q.id) INTO ids FROM (
        SELECT c.id FROM queue c WHERE c.id = ANY (ids) AND c.generation = old AND c.state = 0 ORDER BY c.id FOR UPDATE SKIP LOCKED) q;
    last := coalesce(last, after);
    IF ids IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO content (generation, id, uid, recipients, reply_to, subject, headers, priority, calendar, unsubscribe, body_text, body_html, document,
                         form_code, model_code, attachments)
    SELECT present, c.id, c.uid, c.recipients, c.reply_to, c.subject, c.headers, c.priority, c.calendar, c.unsubscribe, c.body_text, c.body_html, c.document,
           c.form_code, c.model_code, c.attachments
      FROM content c WHERE c.generation = old AND c.id = ANY (ids);
    WITH own AS MATERIALIZED (SELECT a.* FROM attachment a WHERE a.generation = old AND a.message_id = ANY (ids)),
    copied AS MATERIALIZED (
        SELECT b.id, stored_blob(present, b.bytes) AS copy FROM blob b WHERE b.generation = old AND b.id IN (SELECT blob_id FROM own))
    INSERT INTO attachment (generation, message_id, position, name, media_type, content_id, size, blob_id)
    SELECT present, o.message_id, o.position, o.name, o.media_type, o.content_id, o.size, c.copy FROM own o JOIN copied c ON c.id = o.blob_id;
    INSERT INTO recipient_result (generation, message_id, position, state, code, enhanced, reply, at)
    SELECT present, r.message_id, r.position, r.state, r.code, r.enhanced, r.reply, r.at FROM recipient_result r WHERE r.generation = old AND r.message_id = ANY (ids);
    -- The old ones would be found by uid until the generation is emptied.
    DELETE FROM content c WHERE c.generation = old AND c.id = ANY (ids);
    DELETE FROM attachment a WHERE a.generation = old AND a.message_id = ANY (ids);
    DELETE FROM recipient_result r WHERE r.generation = old AND r.message_id = ANY (ids);
    UPDATE queue q SET generation = present WHERE q.id = ANY (ids);
    moved := cardinality(ids);
END $$;

-- Forgets up to `most` idempotency keys that are older than their retention. Returns how many.
CREATE FUNCTION mailroom.forget_keys(retention interval, most integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    WITH old AS MATERIALIZED (
        SELECT i.source, i.key FROM idempotency i WHERE i.created_at < clock_timestamp() - retention LIMIT most FOR UPDATE SKIP LOCKED),
    gone AS (DELETE FROM idempotency i USING old WHERE i.source = old.source AND i.key = old.key RETURNING 1)
    SELECT count(*)::integer FROM gone
$$;

-- Forgets the places of held batches and of operators' holds that nothing has stood in for a day: there may be one for each batch. All other places
-- are for ever: their number is that of settings, and dispatchers know their ids. Returns how many.
--
-- Whoever puts messages into such a place locks its row, or learned of it from held_batch. So the row is locked before it is looked at, and nothing goes as
-- long as a transaction is open whose snapshot may be of before.
CREATE FUNCTION mailroom.forget_places() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    ids integer[];
    gone integer;
BEGIN
    SELECT array_agg(p.id) INTO ids FROM (
        SELECT p.id FROM place p WHERE p.kind = 'hold' AND p.reason IN ('batch_held', 'operator_hold') ORDER BY p.id FOR UPDATE SKIP LOCKED) p;
    UPDATE place p SET deserted_at = NULL, deserted_in = NULL
     WHERE p.id = ANY (ids) AND p.deserted_at IS NOT NULL
       AND (EXISTS (SELECT FROM queue q WHERE q.place_id = p.id) OR EXISTS (SELECT FROM held_batch h WHERE h.place_id = p.id));
    DELETE FROM place p
     WHERE p.id = ANY (ids) AND p.deserted_at < clock_timestamp() - interval '1 day'
       AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE greatest(age(a.backend_xid), age(a.backend_xmin)) >= age(p.deserted_in::xid))
       AND NOT EXISTS (SELECT FROM pg_prepared_xacts);
    GET DIAGNOSTICS gone = ROW_COUNT;
    UPDATE place p SET deserted_at = clock_timestamp(), deserted_in = pg_current_xact_id()
     WHERE p.id = ANY (ids) AND p.deserted_at IS NULL AND p.release_before IS NULL
       AND NOT EXISTS (SELECT FROM queue q WHERE q.place_id = p.id) AND NOT EXISTS (SELECT FROM held_batch h WHERE h.place_id = p.id);
    RETURN gone;
END $$;

CREATE VIEW mailroom.generations AS
SELECT g.ring, g.generation,
       CASE WHEN g.opened_at IS NULL THEN 'empty' WHEN g.closed_at IS NULL THEN 'open' WHEN g.ring = 'content' AND g.drained_at IS NULL THEN 'pinned' ELSE 'waiting' END AS state,
       g.opened_at, g.closed_at, g.drained_at, p.estimated_rows, p.bytes, CASE g.ring WHEN 'content' THEN coalesce(q.messages, 0) END AS live_messages
  FROM mailroom.generation g
  JOIN LATERAL (
        SELECT sum(greatest(c.reltuples, 0))::bigint AS estimated_rows, sum(pg_total_relation_size(c.oid))::bigint AS bytes
          FROM unnest(CASE g.ring WHEN 'content' THEN ARRAY['content', 'attachment', 'blob', 'recipient_result'] ELSE ARRAY['story', 'log'] END) parent
          JOIN pg_class c ON c.relnamespace = 'mailroom'::regnamespace AND c.relname = parent || '_' || g.generation) p ON true
  LEFT JOIN (SELECT generation, count(*) AS messages FROM mailroom.queue GROUP BY generation) q ON g.ring = 'content' AND q.generation = g.generation;
COMMENT ON VIEW mailroom.generations IS 'What is stored, by generation, how large it is, and how many live messages keep it from being cleared away. Counts the whole queue.';

-- What keeps VACUUM from removing dead rows of the queue: other sessions' transactions, prepared ones, replication. A session's state and since when its
-- transaction is open are seen by members of pg_read_all_stats only; that it is, and how many transactions ago it began, by all.
CREATE VIEW mailroom.pins AS
SELECT CASE a.backend_type WHEN 'walsender' THEN 'replication' ELSE 'transaction' END AS kind,
       format('pid %s', a.pid) AS subject, a.usename::text AS user_name, a.application_name, a.state, a.xact_start AS since,
       coalesce(a.backend_xid, a.backend_xmin) AS horizon, greatest(age(a.backend_xid), age(a.backend_xmin)) AS transactions,
       CASE a.backend_type WHEN 'walsender' THEN 'end the long query on the standby, or switch hot_standby_feedback off there'
                           ELSE format('end the transaction, or: SELECT pg_terminate_backend(%s)', a.pid) END AS remedy
  FROM pg_stat_activity a
 WHERE (a.datname = current_database() OR a.backend_type = 'walsender') AND a.usesysid IS NOT NULL AND a.pid <> pg_backend_pid()
   AND (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL)
   AND coalesce(a.query, '') !~* '^\s*vacuum' -- it pins nothing
UNION ALL
SELECT 'prepared transaction', p.gid, p.owner::text, NULL, 'prepared', p.prepared, p.transaction, age(p.transaction), format('COMMIT PREPARED %L or ROLLBACK PREPARED %1$L', p.gid)
  FROM pg_prepared_xacts p WHERE p.database = current_database()
UNION ALL
SELECT 'replication slot', s.slot_name::text, NULL, NULL, CASE WHEN s.active THEN 'active' ELSE 'not in use' END, NULL, s.xmin, age(s.xmin),
       format('start what reads it, or: SELECT pg_drop_replication_slot(%L)', s.slot_name)
  FROM pg_replication_slots s WHERE s.xmin IS NOT NULL;
COMMENT ON VIEW mailroom.pins IS 'Transactions and replication slots that keep dead rows from being removed, and what to do.';

-- What operators must know, told once: one row for each kind and subject. service/rules/event_kinds has the kinds.
CREATE TABLE mailroom.events (
    id            text NOT NULL,        -- the kind: account_paused; the log's lines have the same
    subject       text NOT NULL,        -- what it is about: an account, a transaction, a dispatcher
    severity      text NOT NULL CHECK (severity IN ('warning', 'error')),
    text          text NOT NULL,
    remedy        text NOT NULL,
    since         timestamptz NOT NULL, -- the last time that it began
    last_seen     timestamptz NOT NULL, -- about: whoever sees it says so every few minutes
    until         timestamptz,          -- NULL or in the future: it is open
    times         integer NOT NULL DEFAULT 1, -- it began
    dispatcher    bigint NOT NULL,      -- that saw it last
    seen_by       bigint[] NOT NULL,    -- the dispatchers that alone know whether it goes on, while it is open; of what follows from the database none
    PRIMARY KEY (id, subject)
);
COMMENT ON TABLE mailroom.events IS 'What operators must know and do, and since when: the command `mailroom events` shows it.';

-- Whether an event that was told until then is the same as one that is told now, until later.
CREATE FUNCTION mailroom.goes_on(told timestamptz, later timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT (told IS NULL OR told > statement_timestamp()) AND later IS NULL
$$;

-- Until when it is told, once the dispatcher no longer sees it: it stays open for those that do.
CREATE FUNCTION mailroom.unseen_until(seen_by bigint[], dispatcher bigint, later timestamptz) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN array_remove(seen_by, dispatcher) = '{}' THEN later END
$$;

-- What only they could end, ends with them, whether they went or were taken for dead.
CREATE FUNCTION mailroom.dispatchers_left() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    gone CONSTANT bigint[] := ARRAY(SELECT id FROM deleted);
BEGIN
    IF gone <> '{}' THEN
        PERFORM FROM mailroom.events WHERE seen_by && gone ORDER BY id, subject FOR UPDATE; -- the one order of locks
        UPDATE mailroom.events SET until = CASE WHEN seen_by <@ gone THEN statement_timestamp() END,
                                   seen_by = ARRAY(SELECT d FROM unnest(seen_by) d WHERE d <> ALL (gone))
         WHERE seen_by && gone;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER dispatchers_left AFTER DELETE ON mailroom.dispatcher REFERENCING OLD TABLE AS deleted
   FOR EACH STATEMENT EXECUTE FUNCTION mailroom.dispatchers_left();
