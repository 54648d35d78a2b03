-- What producers do with what they enqueued: cancel, hold and release batches, read outcomes. Operators do it with everybody's.

CREATE FUNCTION mailroom.is_operator() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT pg_has_role(session_user, 'mailroom_operator', 'MEMBER')
$$;

-- Ends waiting messages of the session's, wherever they wait, and marks those that a dispatcher has, so that they are not tried again. The caller
-- has locked them. Returns how many of each.
CREATE FUNCTION mailroom.cancel_locked(ids bigint[], OUT cancelled integer, OUT too_late integer) LANGUAGE plpgsql AS $$
BEGIN
    WITH gone AS (DELETE FROM mailroom.queue q WHERE q.id = ANY (ids) AND q.state = 0 RETURNING q.*),
    ended AS (
        INSERT INTO mailroom.log (generation, id, uid, ended_at, outcome, enqueued_at, lane, source, addressed, attempts, doubts, recipients, lease_no, user_id, row_id,
                                  model_id, posted_by, user_code, batch, reply)
        SELECT i.history_generation, g.id, g.uid, clock_timestamp(), mailroom.end_unsent(g.generation, g.id, 'cancelled'), g.enqueued_at, g.lane, g.source, g.addressed,
               g.attempts, g.doubts, g.recipients, g.lease_no, g.user_id, g.row_id, g.model_id, g.posted_by, g.user_code, g.batch,
               CASE WHEN g.doubts > 0 THEN 'in doubt when it was cancelled, and not sent again' ELSE 'cancelled' END
          FROM gone g CROSS JOIN mailroom.installation i
        RETURNING 1)
    SELECT count(*) INTO cancelled FROM ended;
    UPDATE mailroom.queue q SET cancelled = true WHERE q.id = ANY (ids) AND q.state = 1 AND NOT q.cancelled;
    SELECT count(*) INTO too_late FROM mailroom.queue q WHERE q.id = ANY (ids);
END $$;

-- 'cancelled': it ended and is not sent. 'too_late': it is being sent; if this try does not reach the server, it is not tried again. 'ended': it had
-- ended before. NULL: there is no such message of yours. Waits for a transaction that is moving it.
CREATE FUNCTION mailroom.cancel(message_uid uuid) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    all_of_them constant boolean := is_operator();
    live bigint;
BEGIN
    SELECT q.id INTO live FROM queue q WHERE q.id = (SELECT c.id FROM content c WHERE c.uid = message_uid) AND (q.posted_by = session_user OR all_of_them) FOR UPDATE;
    IF FOUND THEN
        RETURN CASE WHEN (cancel_locked(ARRAY[live])).cancelled > 0 THEN 'cancelled' ELSE 'too_late' END;
    END IF;
    PERFORM FROM log l WHERE l.uid = message_uid AND (l.posted_by = session_user OR all_of_them);
    RETURN CASE WHEN FOUND THEN 'ended' END;
END $$;

-- The same for all messages of a batch: {"cancelled": n, "too_late": m, "ended": k}. Locks them in the order of their ids, as every other does.
CREATE FUNCTION mailroom.cancel_batch(batch text) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    all_of_them constant boolean := is_operator();
    ids bigint[];
    ended_before integer;
    done record;
BEGIN
    SELECT array_agg(mine.id) INTO ids
      FROM (SELECT q.id FROM queue q WHERE q.batch = cancel_batch.batch AND (q.posted_by = session_user OR all_of_them) ORDER BY q.id FOR UPDATE) mine;
    SELECT count(*) INTO ended_before FROM log l WHERE l.batch = cancel_batch.batch AND (l.posted_by = session_user OR all_of_them); -- after the locks: what ended meanwhile is in it
    done := cancel_locked(coalesce(ids, '{}'));
    RETURN jsonb_build_object('cancelled', done.cancelled, 'too_late', done.too_late, 'ended', ended_before);
END $$;

-- Batches that wait for their release.

-- Nobody enqueues into the batch until this transaction ends, and whoever did and has not committed is waited for.
CREATE FUNCTION mailroom.seize_batch(batch text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF coalesce(batch, '') = '' OR octet_length(batch) > 200 THEN
        PERFORM mailroom.refuse(mailroom.problem('batch', 'must have 1 to 200 octets'), 'mailroom');
    END IF;
    PERFORM pg_advisory_xact_lock(x'6d61696c'::integer, hashtext(batch) & 63);
    PERFORM setval('mailroom.last_hold', pg_current_xact_id()::text::bigint);
END $$;

-- Holds what waits of a batch and what will be enqueued of it, or come back from a dispatcher, until release_batch. Returns how many messages wait
-- there now; those that are being sent are not among them. What waits for an operator's decision stays where it is. Waits for open transactions that
-- enqueued messages of the batch.
CREATE FUNCTION mailroom.hold_batch(batch text) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_batch constant text := batch;
    operator constant boolean := is_operator();
    held_in integer;
    moved integer;
BEGIN
    PERFORM seize_batch(v_batch);
    IF NOT operator AND EXISTS (SELECT FROM queue q WHERE q.batch = v_batch AND q.posted_by <> session_user) THEN
        RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE = format('mailroom.hold_batch: others post messages of the batch "%s" as well', v_batch),
            HINT = 'An operator may hold it.';
    END IF;
    INSERT INTO place (key, kind, reason, subject, remedy) VALUES ('batch_held/' || v_batch, 'hold', 'batch_held', format('batch "%s"', v_batch), 'release the batch')
    ON CONFLICT (key) DO UPDATE SET release_before = NULL, self_releasing = false RETURNING id INTO held_in;
    INSERT INTO held_batch (batch, place_id, held_by) VALUES (v_batch, held_in, session_user)
    ON CONFLICT (batch) DO UPDATE SET held_by = CASE WHEN operator THEN excluded.held_by ELSE held_batch.held_by END;

    WITH waiting AS MATERIALIZED (
        SELECT q.id FROM queue q JOIN place p ON p.id = q.place_id
         WHERE q.batch = v_batch AND q.state = 0 AND NOT q.cancelled AND (p.kind IN ('unsorted', 'suspects', 'route') OR p.kind = 'hold' AND p.self_releasing)
         ORDER BY q.id FOR UPDATE OF q),
    held AS (
        UPDATE queue q SET place_id = held_in, run_at = statement_timestamp(), put_off_since = NULL -- one for all: their ids keep the order; a release gives them their time back
         WHERE q.id = ANY (ARRAY(SELECT id FROM waiting)) AND q.state = 0 RETURNING q.id, q.uid, q.posted_by, q.lease_no),
    told AS (
        INSERT INTO story (generation, message_id, uid, posted_by, lease_no, event, note)
        SELECT i.history_generation, h.id, h.uid, h.posted_by, h.lease_no, 'held', format('batch "%s" is held by %s', v_batch, session_user)
          FROM held h CROSS JOIN installation i)
    SELECT count(*) INTO moved FROM held;
    RETURN (SELECT count(*) FROM queue q WHERE q.place_id = held_in);
END $$;

-- Lets a held batch go, in steps by any dispatcher. Returns how many messages wait for that. What an operator held only an operator releases.
CREATE FUNCTION mailroom.release_batch(batch text) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    v_batch constant text := batch;
    hold held_batch;
BEGIN
    PERFORM seize_batch(v_batch);
    SELECT h.* INTO hold FROM held_batch h WHERE h.batch = v_batch;
    IF NOT FOUND THEN
        RETURN 0;
    ELSIF hold.held_by <> session_user AND NOT is_operator() THEN
        RAISE EXCEPTION USING ERRCODE = 'MR003', MESSAGE = format('mailroom.release_batch: the batch "%s" is held by %s', v_batch, hold.held_by),
            HINT = 'Who held it releases it, or an operator.';
    END IF;
    DELETE FROM held_batch h WHERE h.batch = v_batch;
    -- From now on settings may release it as well: what a dispatcher is just putting there will not stay.
    UPDATE place SET release_before = clock_timestamp(), self_releasing = true WHERE id = hold.place_id;
    PERFORM pg_notify('mailroom_settings', (SELECT settings_version::text FROM installation));
    RETURN (SELECT count(*) FROM queue q WHERE q.place_id = hold.place_id);
END $$;

-- Outcomes: every end, hold and doubt once. The cursor is a snapshot: what is told next is what is visible now and was not visible then, so a late commit
-- is told when it is there, behind whatever was told before, and nobody waits for anybody.

CREATE FUNCTION mailroom.refuse_cursor(why text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'MR004', MESSAGE = 'mailroom.outcomes: the cursor ' || why,
        HINT = 'Give NULL to begin with everything that is still known, and skip what you know already by uid and event.';
END $$;

-- A snapshot in which a transaction of one's own is not yet over.
CREATE FUNCTION mailroom.snapshot_without(seen pg_snapshot, own xid8) RETURNS pg_snapshot LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN own IS NULL OR NOT pg_visible_in_snapshot(own, seen) THEN seen
                ELSE (SELECT format('%s:%s:%s', least(pg_snapshot_xmin(seen), own), pg_snapshot_xmax(seen), string_agg(x::text, ',' ORDER BY x))::pg_snapshot
                        FROM (SELECT pg_snapshot_xip(seen) UNION SELECT own) running(x)) END
$$;

-- Which database a cursor belongs to.
CREATE FUNCTION mailroom.cursor_origin() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('%s-%s', (SELECT system_identifier FROM pg_control_system()), (SELECT oid FROM pg_database WHERE datname = current_database()))
$$;

-- Up to max_rows (1 to 10,000) outcomes after a cursor, of the session's messages (an operator: of all), oldest transaction first:
-- {"cursor": "...", "more": false, "outcomes": [{"uid", "event", "at", ...}]}. `after` NULL: from the beginning; `more`: ask again at once. Keep the
-- cursor in the transaction in which the outcomes are kept. What the caller's own open transaction did is told after its commit.
CREATE FUNCTION mailroom.outcomes(after text, max_rows integer) RETURNS jsonb LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    origin constant text := cursor_origin();
    all_of_them constant boolean := is_operator();
    parts text[] := CASE WHEN after IS NULL THEN ARRAY['1', cursor_origin(), '1:1:'] ELSE string_to_array(after, '/') END;
    now_seen constant pg_snapshot := snapshot_without(pg_current_snapshot(), pg_current_xact_id_if_assigned());
    told pg_snapshot;   -- what earlier calls told
    target pg_snapshot; -- what this round of pages tells
    last_xid xid8 := '0';
    last_at bigint := 0; -- microseconds
    last_id bigint := 0;
    last_event text := '';
    page jsonb;
    n integer;
    last_told text;
BEGIN
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 10000 THEN
        PERFORM refuse(problem('max_rows', 'must be 1 to 10,000'), 'mailroom.outcomes');
    ELSIF pg_is_in_recovery() THEN
        PERFORM refuse_cursor('cannot be moved on a standby: ask the primary server');
    ELSIF cardinality(parts) NOT IN (3, 8) OR parts[1] <> '1' THEN
        PERFORM refuse_cursor('is none that this version of mailroom gave');
    ELSIF parts[2] <> origin THEN
        PERFORM refuse_cursor('belongs to another database');
    END IF;
    BEGIN
        told := parts[3]::pg_snapshot;
        target := coalesce(parts[4]::pg_snapshot, now_seen);
        IF cardinality(parts) = 8 THEN
            last_xid := parts[5]::xid8;
            last_at := parts[6];
            last_id := parts[7];
            last_event := parts[8];
        END IF;
    EXCEPTION WHEN data_exception THEN
        PERFORM refuse_cursor('is damaged');
    END;
    IF greatest(pg_snapshot_xmax(told), pg_snapshot_xmax(target)) > greatest(pg_snapshot_xmax(now_seen), pg_current_xact_id_if_assigned()) THEN
        PERFORM refuse_cursor('is ahead of this database, which was restored to an earlier time');
    END IF;

    -- Two ranges of the same order: what was running then, few transactions, and what began since.
    WITH found AS MATERIALIZED (
        SELECT * FROM (
            (SELECT l.xid, l.ended_at AS at, l.id, l.outcome AS event, l.uid, l.batch, l.doubts, l.reply AS note, l.code FROM log l
              WHERE l.xid = ANY (ARRAY(SELECT pg_snapshot_xip(told))) AND pg_visible_in_snapshot(l.xid, target) AND (l.posted_by = session_user OR all_of_them)
                AND (l.xid, (extract(epoch FROM l.ended_at) * 1000000)::bigint, l.id, l.outcome) > (last_xid, last_at, last_id, last_event)
              ORDER BY l.xid, l.ended_at, l.id, l.outcome LIMIT max_rows)
            UNION ALL
            (SELECT l.xid, l.ended_at, l.id, l.outcome, l.uid, l.batch, l.doubts, l.reply, l.code FROM log l
              WHERE l.xid >= greatest(pg_snapshot_xmax(told), last_xid) AND l.xid < pg_snapshot_xmax(target)
                AND pg_visible_in_snapshot(l.xid, target) AND (l.posted_by = session_user OR all_of_them)
                AND (l.xid, (extract(epoch FROM l.ended_at) * 1000000)::bigint, l.id, l.outcome) > (last_xid, last_at, last_id, last_event)
              ORDER BY l.xid, l.ended_at, l.id, l.outcome LIMIT max_rows)
            UNION ALL
            (SELECT s.xid, s.at, s.message_id, s.event, s.uid, NULL, NULL, coalesce(s.note, s.reply), s.code FROM story s
              WHERE s.event IN ('held', 'in_doubt', 'lease_lost', 'late_outcome', 'quarantined', 'adopted')
                AND s.xid = ANY (ARRAY(SELECT pg_snapshot_xip(told))) AND pg_visible_in_snapshot(s.xid, target) AND (s.posted_by = session_user OR all_of_them)
                AND (s.xid, (extract(epoch FROM s.at) * 1000000)::bigint, s.message_id, s.event) > (last_xid, last_at, last_id, last_event)
              ORDER BY s.xid, s.at, s.message_id, s.event LIMIT max_rows)
            UNION ALL
            (SELECT s.xid, s.at, s.message_id, s.event, s.uid, NULL, NULL, coalesce(s.note, s.reply), s.code FROM story s
              WHERE s.event IN ('held', 'in_doubt', 'lease_lost', 'late_outcome', 'quarantined', 'adopted')
                AND s.xid >= greatest(pg_snapshot_xmax(told), last_xid) AND s.xid < pg_snapshot_xmax(target)
                AND pg_visible_in_snapshot(s.xid, target) AND (s.posted_by = session_user OR all_of_them)
                AND (s.xid, (extract(epoch FROM s.at) * 1000000)::bigint, s.message_id, s.event) > (last_xid, last_at, last_id, last_event)
              ORDER BY s.xid, s.at, s.message_id, s.event LIMIT max_rows)) either
         ORDER BY xid, at, id, event LIMIT max_rows)
    SELECT count(*), coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
               'uid', f.uid, 'at', f.at, 'batch', coalesce(f.batch, q.batch), 'note', nullif(f.note, ''), 'code', f.code, 'possible_duplicate', coalesce(f.doubts, q.doubts) > 0,
               'event', CASE WHEN f.event IN ('quarantined', 'adopted') THEN 'held' WHEN f.event IN ('lease_lost', 'late_outcome') THEN 'in_doubt' ELSE f.event END,
               'reason', p.reason, 'subject', p.subject, 'remedy', p.remedy)) ORDER BY f.xid, f.at, f.id, f.event), '[]')
           , (SELECT format('%s/%s/%s/%s', f.xid, (extract(epoch FROM f.at) * 1000000)::bigint, f.id, f.event) FROM found f ORDER BY f.xid DESC, f.at DESC, f.id DESC, f.event DESC LIMIT 1)
      INTO n, page, last_told
      FROM found f LEFT JOIN queue q ON q.id = f.id AND f.doubts IS NULL
           LEFT JOIN place p ON p.id = q.place_id AND p.kind = 'hold' AND f.event <> 'in_doubt';
    IF n < max_rows THEN
        RETURN jsonb_build_object('cursor', format('1/%s/%s', origin, target), 'more', target::text <> now_seen::text, 'outcomes', page);
    END IF;
    RETURN jsonb_build_object('cursor', format('1/%s/%s/%s/%s', origin, told, target, last_told), 'more', true, 'outcomes', page);
END $$;
