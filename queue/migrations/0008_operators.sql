-- What operators do with messages: find, retry, cancel, hold, release, reassign. Every function works in short steps, in the order of the ids, and
-- never waits for a row: what a dispatcher has is left alone. Errors of the caller's making are MR005.

-- One value of a filter or an argument, or an array of them.
CREATE FUNCTION mailroom.texts_of(given jsonb) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT array_agg(btrim(value)) FROM jsonb_array_elements_text(CASE jsonb_typeof(given) WHEN 'array' THEN given ELSE jsonb_build_array(given) END)
$$;

CREATE FUNCTION mailroom.refuse_request(problems text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF cardinality(problems) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'MR005', MESSAGE = array_to_string(problems, E'\n'), HINT = 'docs/operations.md lists what a filter may name.';
    END IF;
END $$;

-- What is wrong with one part of a filter; NULL: nothing.
CREATE FUNCTION mailroom.filter_problem(key text, given jsonb) RETURNS text LANGUAGE plpgsql STABLE SET search_path = mailroom, pg_temp AS $$
DECLARE
    states constant text[] := ARRAY['ready', 'sending', 'deferred', 'scheduled', 'in_doubt', 'held', 'cancelled'];
    value text;
BEGIN
    IF key = 'all' THEN
        RETURN CASE WHEN given <> 'true' THEN 'must be true' END;
    ELSIF key = 'up_to' THEN
        RETURN CASE WHEN given::text !~ '^[0-9]{1,18}$' THEN 'must be the id of a message' END;
    ELSIF key <> ALL (ARRAY['uid', 'batch', 'user', 'form', 'model', 'route', 'reason', 'state', 'lane', 'recipient', 'older_than', 'newer_than']) THEN
        RETURN 'there is no such filter';
    ELSIF key IN ('older_than', 'newer_than') THEN
        BEGIN
            IF jsonb_typeof(given) <> 'string' OR (given #>> '{}')::interval < interval '0' THEN
                RETURN 'must be an age such as "2 hours" or "3d"';
            END IF;
        EXCEPTION WHEN data_exception THEN
            RETURN format('"%s" is not an age such as "2 hours" or "3d"', left(given #>> '{}', 60));
        END;
        RETURN NULL;
    ELSIF given = '[]' OR EXISTS (SELECT FROM jsonb_array_elements(CASE jsonb_typeof(given) WHEN 'array' THEN given ELSE jsonb_build_array(given) END) e
                                   WHERE jsonb_typeof(e) <> 'string' OR btrim(e #>> '{}') = '') THEN
        RETURN 'must be a text or an array of texts, none of them empty';
    END IF;
    FOREACH value IN ARRAY texts_of(given) LOOP
        IF key = 'uid' AND value !~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN
            RETURN format('"%s" is not the uid of a message, such as 4c839a95-b1f7-4bb6-80e4-5114477a2748', left(value, 60));
        ELSIF key = 'state' AND value <> ALL (states) THEN
            RETURN format('"%s" is none of %s', left(value, 60), array_to_string(states, ', '));
        ELSIF key = 'lane' AND value NOT IN ('urgent', 'normal', 'bulk') THEN
            RETURN format('"%s" is none of urgent, normal, bulk', left(value, 60));
        ELSIF key = 'form' AND NOT EXISTS (SELECT FROM rows WHERE code = value) OR key = 'model' AND NOT EXISTS (SELECT FROM models WHERE code = value) THEN
            RETURN format('there is no %s "%s"', key, left(value, 100));
        ELSIF key = 'route' AND NOT EXISTS (SELECT FROM place p WHERE p.key = value OR p.kind = 'route' AND p.subject = value) THEN
            RETURN format('no message stands, or ever stood, at a route or a hold "%s": `mailroom queue` shows where they stand', left(value, 100));
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- The condition that a filter is, over a row q of mailroom.queue and, for state and reason, its row d of mailroom.depth. All that it names must be so;
-- of an array any one. Nothing but constants that are quoted here goes into it.
CREATE FUNCTION mailroom.selection(filter jsonb) RETURNS text LANGUAGE plpgsql STABLE SET search_path = mailroom, pg_temp AS $$
DECLARE
    key text;
    given jsonb;
    wanted text[];
    conditions text[] := '{}';
    problems text[];
BEGIN
    IF jsonb_typeof(filter) IS DISTINCT FROM 'object' THEN
        PERFORM refuse_request(ARRAY['a filter is a JSON object, such as {"batch": "statements"}']);
    ELSIF filter - 'up_to' = '{}' THEN
        PERFORM refuse_request(ARRAY['the filter is empty: name what is meant, or {"all": true}']);
    END IF;
    SELECT array_agg(format('%s: %s', e.key, problem) ORDER BY e.key) INTO problems
      FROM jsonb_each(filter) e CROSS JOIN LATERAL filter_problem(e.key, e.value) problem WHERE problem IS NOT NULL;
    PERFORM refuse_request(problems);
    FOR key, given IN SELECT * FROM jsonb_each(filter - 'all') LOOP
        wanted := texts_of(given);
        conditions := conditions || CASE key
            WHEN 'up_to' THEN format('q.id <= %L::bigint', given #>> '{}')
            WHEN 'uid' THEN format('q.id = ANY (ARRAY(SELECT c.id FROM mailroom.content c WHERE c.uid = ANY (%L::uuid[])))', wanted)
            WHEN 'user' THEN format('q.user_code = ANY (%L::text[])', wanted)
            WHEN 'form' THEN format('q.row_id = ANY (ARRAY(SELECT r.id FROM mailroom.rows r WHERE r.code = ANY (%L::text[])))', wanted)
            WHEN 'model' THEN format('q.model_id = ANY (ARRAY(SELECT m.id FROM mailroom.models m WHERE m.code = ANY (%L::text[])))', wanted)
            WHEN 'route' THEN format('q.place_id = ANY (ARRAY(SELECT p.id FROM mailroom.place p WHERE p.key = ANY (%1$L::text[]) OR p.kind = ''route'' AND p.subject = ANY (%1$L::text[])))', wanted)
            WHEN 'recipient' THEN format('EXISTS (SELECT FROM mailroom.content c, jsonb_array_elements(c.recipients) r WHERE c.generation = q.generation AND c.id = q.id'
                                         ' AND lower(r ->> ''address'') = ANY (%L::text[]))', lower(wanted::text)::text[])
            WHEN 'older_than' THEN format('q.enqueued_at <= clock_timestamp() - %L::interval', given #>> '{}')
            WHEN 'newer_than' THEN format('q.enqueued_at > clock_timestamp() - %L::interval', given #>> '{}')
            WHEN 'batch' THEN format('q.batch = ANY (%L::text[])', wanted)
            WHEN 'lane' THEN format('mailroom.lane_name(q.lane) = ANY (%L::text[])', wanted)
            ELSE format('d.%I = ANY (%L::text[])', key, wanted) END; -- state, reason
    END LOOP;
    RETURN CASE WHEN conditions = '{}' THEN 'true' ELSE array_to_string(conditions, ' AND ') END;
END $$;

-- The live messages that a filter means, in the order of their ids, from behind the id `after` on; at most max_rows where that is given.
CREATE FUNCTION mailroom.selected(filter jsonb, after bigint DEFAULT 0, max_rows integer DEFAULT NULL) RETURNS SETOF mailroom.depth
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
BEGIN
    -- The view looked up for one row after the other: in one piece, the planner would sort the whole queue to show a few in the order of their ids.
    RETURN QUERY EXECUTE format('SELECT d.* FROM mailroom.queue q CROSS JOIN LATERAL (SELECT * FROM mailroom.depth x WHERE x.id = q.id OFFSET 0) d'
                                ' WHERE q.id > $1 AND %s ORDER BY q.id LIMIT $2', selection(filter)) USING after, max_rows;
END $$;

-- What an action takes beside its filter: a note for the story; retry: now; release: identity; reassign: user, form, model; settle: outcome.
CREATE FUNCTION mailroom.check_arguments(action text, arguments jsonb) RETURNS void LANGUAGE plpgsql STABLE SET search_path = mailroom, pg_temp AS $$
DECLARE
    known constant text[] := CASE action WHEN 'retry' THEN ARRAY['note', 'now'] WHEN 'release' THEN ARRAY['note', 'identity']
                                         WHEN 'reassign' THEN ARRAY['note', 'user', 'form', 'model'] WHEN 'cancel' THEN ARRAY['note'] WHEN 'hold' THEN ARRAY['note']
                                         WHEN 'settle' THEN ARRAY['note', 'outcome'] END;
    problems text[] := '{}';
BEGIN
    IF known IS NULL THEN
        PERFORM refuse_request(ARRAY[format('"%s" is none of retry, cancel, hold, release, reassign, settle', action)]);
    ELSIF jsonb_typeof(arguments) IS DISTINCT FROM 'object' THEN
        PERFORM refuse_request(ARRAY['the arguments must be a JSON object']);
    END IF;
    SELECT coalesce(array_agg(format('%s: %s has no such argument', k, action) ORDER BY k), '{}') INTO problems FROM jsonb_object_keys(arguments) k WHERE k <> ALL (known);
    IF octet_length(arguments ->> 'note') > 500 OR has_control(arguments ->> 'note') THEN
        problems := problems || 'note: is longer than 500 octets or contains a control character'::text;
    END IF;
    IF jsonb_typeof(arguments -> 'now') NOT IN ('boolean', 'null') THEN
        problems := problems || 'now: must be true or false'::text;
    END IF;
    IF arguments ->> 'identity' NOT IN ('keep', 'new') THEN
        problems := problems || 'identity: must be keep or new'::text;
    END IF;
    IF action = 'settle' AND arguments ->> 'outcome' IS DISTINCT FROM 'sent' AND arguments ->> 'outcome' IS DISTINCT FROM 'not_sent' THEN
        problems := problems || 'outcome: must be sent or not_sent'::text;
    END IF;
    IF action = 'reassign' THEN
        IF num_nonnulls(arguments ->> 'user', arguments ->> 'form', arguments ->> 'model') = 0 THEN
            problems := problems || 'name the user, the form or the model that the messages get'::text;
        ELSIF arguments ->> 'form' IS NOT NULL AND arguments ->> 'model' IS NOT NULL THEN
            problems := problems || 'a message names a form or a model, not both'::text;
        END IF;
        IF arguments ->> 'user' IS NOT NULL AND NOT EXISTS (SELECT FROM users u WHERE u.code = btrim(arguments ->> 'user')) THEN
            problems := problems || format('there is no user "%s"', arguments ->> 'user');
        END IF;
        IF arguments ->> 'form' IS NOT NULL AND NOT EXISTS (SELECT FROM rows r WHERE r.code = btrim(arguments ->> 'form') AND btrim(r.from_address) <> '') THEN
            problems := problems || format('there is no form "%s" with an address', arguments ->> 'form');
        END IF;
        IF arguments ->> 'model' IS NOT NULL AND NOT EXISTS (SELECT FROM models m WHERE m.code = btrim(arguments ->> 'model') AND btrim(m.from_address) <> '') THEN
            problems := problems || format('there is no model "%s" with an address', arguments ->> 'model');
        END IF;
    END IF;
    PERFORM refuse_request(problems);
END $$;

-- Why an action leaves a message alone; NULL: it does not. The one place that says what may be done in which state.
CREATE FUNCTION mailroom.why_not(action text, d mailroom.depth, arguments jsonb) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE
        WHEN d.state = 'sending' THEN 'being sent'
        WHEN d.state = 'cancelled' THEN 'cancelled already'
        WHEN action = 'retry' THEN CASE
            WHEN d.state = 'held' THEN 'held: release lets it go'
            WHEN d.state = 'scheduled' AND NOT coalesce((arguments ->> 'now')::boolean, false) THEN 'scheduled: its time has not come'
            WHEN d.state = 'ready' AND d.reason <> 'account_busy' THEN 'due already' END
        WHEN action = 'settle' THEN CASE WHEN d.doubts = 0 THEN 'not in doubt' END
        WHEN action = 'hold' THEN CASE WHEN d.state = 'held' AND NOT d.self_releasing THEN 'held for an operator already' END
        WHEN action = 'release' THEN CASE
            WHEN d.state <> 'held' THEN 'not held'
            WHEN d.reason = 'identity_changed' AND arguments ->> 'identity' IS NULL THEN 'its sender changed: choose whether the old one stays' END
        WHEN action = 'reassign' THEN CASE
            WHEN d.category = 'mobile' THEN 'posted by MOBILE: General sends it'
            WHEN arguments ->> 'form' IS NOT NULL AND d.category <> 'mass' THEN 'no form decides its sender'
            WHEN arguments ->> 'model' IS NOT NULL AND d.category <> 'dispatch' THEN 'no model decides its sender' END
        END
$$;

-- What an action would do: how many messages match, how many it would change, why it would leave which alone, the last id (`up_to`: what comes later
-- was not counted), and which of the uids that the filter names are not in the queue.
CREATE FUNCTION mailroom.preview(action text, filter jsonb, arguments jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    answer jsonb;
BEGIN
    PERFORM check_arguments(action, arguments);
    EXECUTE format($q$
        WITH judged AS (SELECT why_not($1, d, $2) AS reason, count(*) AS n, max(d.id) AS last FROM mailroom.queue q JOIN mailroom.depth d ON d.id = q.id WHERE %s GROUP BY 1)
        SELECT jsonb_build_object('matched', coalesce(sum(n), 0), 'eligible', coalesce(sum(n) FILTER (WHERE reason IS NULL), 0),
                                  'left_alone', coalesce(jsonb_object_agg(reason, n) FILTER (WHERE reason IS NOT NULL), '{}'), 'up_to', coalesce(max(last), 0))
          FROM judged $q$, selection(filter)) INTO answer USING action, arguments;
    RETURN answer || jsonb_build_object('not_live', coalesce((
        SELECT jsonb_agg(jsonb_build_object('uid', named, 'state', (SELECT l.outcome FROM log l WHERE l.uid = named LIMIT 1)))
          FROM unnest(CASE WHEN filter ? 'uid' THEN texts_of(filter -> 'uid')::uuid[] END) named
         WHERE NOT EXISTS (SELECT FROM content c JOIN queue q ON q.id = c.id WHERE c.uid = named)), '[]'));
END $$;

-- Locks the next max_rows messages that a filter means and an action may change; the filter is looked at again once they are locked. A row that
-- somebody else is changing is tried five times, 20 ms apart (claims and completions are over by then), and then left alone as busy.
-- `last` is NULL where nothing is left.
CREATE FUNCTION mailroom.take_selected(action text, filter jsonb, arguments jsonb, after bigint, max_rows integer,
                                       OUT taken bigint[], OUT being_sent bigint[], OUT left_alone jsonb, OUT last bigint)
LANGUAGE plpgsql SET search_path = mailroom, pg_temp AS $$
DECLARE
    condition constant text := selection(filter);
    found bigint[];
    locked bigint[];
BEGIN
    PERFORM check_arguments(action, arguments);
    IF max_rows IS NULL OR max_rows NOT BETWEEN 1 AND 10000 THEN
        PERFORM refuse_request(ARRAY['a step has 1 to 10,000 messages']);
    END IF;
    EXECUTE format('SELECT coalesce(array_agg(id), ''{}'') FROM (SELECT q.id FROM mailroom.queue q%s WHERE q.id > $1 AND %s ORDER BY q.id LIMIT $2) next',
                   CASE WHEN filter ?| ARRAY['state', 'reason'] THEN ' CROSS JOIN LATERAL (SELECT * FROM mailroom.depth x WHERE x.id = q.id OFFSET 0) d' ELSE '' END,
                   condition) INTO found USING coalesce(after, 0), max_rows; -- as in `selected`
    last := CASE WHEN cardinality(found) = max_rows THEN found[max_rows] END;
    FOR attempt IN 1..5 LOOP
        SELECT coalesce(array_agg(id), '{}') INTO locked
          FROM (SELECT q.id FROM queue q WHERE q.id = ANY (found) AND q.state = 0 ORDER BY q.id FOR UPDATE SKIP LOCKED) free;
        EXIT WHEN NOT EXISTS (SELECT q.id FROM queue q WHERE q.id = ANY (found) AND q.state = 0 EXCEPT SELECT unnest(locked));
        PERFORM pg_sleep(0.02);
    END LOOP;
    EXECUTE format($q$
        WITH judged AS MATERIALIZED (
            SELECT d.id, coalesce(why_not($3, d, $4), CASE WHEN l.id IS NULL THEN 'busy: somebody else is changing it' END) AS reason
              FROM mailroom.queue q JOIN mailroom.depth d ON d.id = q.id LEFT JOIN unnest($2) AS l(id) ON l.id = q.id
             WHERE q.id = ANY ($1) AND d.id = ANY ($1) AND %s)
        SELECT coalesce(array_agg(id ORDER BY id) FILTER (WHERE reason IS NULL), '{}'), coalesce(array_agg(id ORDER BY id) FILTER (WHERE reason = 'being sent'), '{}'),
               coalesce((SELECT jsonb_object_agg(reason, n) FROM (SELECT reason, count(*) AS n FROM judged WHERE reason IS NOT NULL GROUP BY reason) r), '{}')
          FROM judged $q$, condition) INTO taken, being_sent, left_alone USING found, locked, action, arguments;
END $$;

-- Writes into the stories of these messages what was done, by whom and why.
CREATE FUNCTION mailroom.tell_story(ids bigint[], event text, what text, arguments jsonb) RETURNS void LANGUAGE sql SET search_path = mailroom, pg_temp AS $$
    INSERT INTO story (generation, message_id, uid, posted_by, lease_no, event, note)
    SELECT i.history_generation, q.id, q.uid, q.posted_by, q.lease_no, tell_story.event,
           what || ' by ' || session_user || coalesce(': ' || nullif(btrim(arguments ->> 'note'), ''), '')
      FROM queue q CROSS JOIN installation i WHERE q.id = ANY (ids) ORDER BY q.id
$$;

-- What a step did. The dispatchers are woken if something may be due now.
CREATE FUNCTION mailroom.step_done(changed bigint[], left_alone jsonb, last bigint, due boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
    IF due AND cardinality(changed) > 0 THEN
        PERFORM pg_notify('mailroom_wake', '');
    END IF;
    RETURN jsonb_build_object('changed', cardinality(changed), 'left_alone', left_alone, 'last', last);
END $$;

-- What waits for a later time, or at its account, is due now; a route that it waited at is not blocked any more. What is scheduled keeps its time
-- unless `now` is true: then the producer's time is forgotten.
CREATE FUNCTION mailroom.retry_messages(filter jsonb, arguments jsonb DEFAULT '{}', after bigint DEFAULT 0, max_rows integer DEFAULT 1000) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    step record;
    forget constant boolean := coalesce((arguments ->> 'now')::boolean, false);
BEGIN
    step := take_selected('retry', filter, arguments, after, max_rows);
    PERFORM tell_story(step.taken, 'retried', 'made due', arguments);
    UPDATE place p SET blocked_until = NULL, blocked_why = NULL
     WHERE p.kind = 'route' AND p.blocked_until IS NOT NULL AND p.id IN (SELECT q.place_id FROM queue q WHERE q.id = ANY (step.taken));
    UPDATE queue q SET place_id = CASE WHEN q.crashes >= 2 THEN 1 ELSE 0 END, not_before = CASE WHEN forget THEN NULL ELSE q.not_before END,
           run_at = greatest(statement_timestamp(), CASE WHEN forget THEN NULL ELSE q.not_before END)
     WHERE q.id = ANY (step.taken);
    RETURN step_done(step.taken, step.left_alone, step.last, true);
END $$;

-- What waits, wherever it waits, ends as cancelled, or as partly sent where some recipient has it. What is being sent is not tried again if this
-- try does not succeed; it is counted as left alone.
CREATE FUNCTION mailroom.cancel_messages(filter jsonb, arguments jsonb DEFAULT '{}', after bigint DEFAULT 0, max_rows integer DEFAULT 1000) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    step record;
    flagged bigint[];
    words constant text := 'cancelled by ' || session_user || coalesce(': ' || nullif(btrim(arguments ->> 'note'), ''), '');
BEGIN
    step := take_selected('cancel', filter, arguments, after, max_rows);
    WITH free AS MATERIALIZED (
        SELECT q.id FROM queue q WHERE q.id = ANY (step.being_sent) AND q.state = 1 AND NOT q.cancelled ORDER BY q.id FOR UPDATE SKIP LOCKED),
    marked AS (UPDATE queue q SET cancelled = true FROM free WHERE q.id = free.id RETURNING q.id)
    SELECT array_agg(id) INTO flagged FROM marked;
    PERFORM tell_story(flagged, 'cancelling', 'while it was being sent, so that it is not tried again: cancelled', arguments);
    WITH gone AS (DELETE FROM queue q WHERE q.id = ANY (step.taken) RETURNING q.*)
    INSERT INTO log (generation, id, uid, ended_at, outcome, enqueued_at, lane, source, addressed, attempts, doubts, recipients, lease_no, user_id, row_id, model_id,
                     posted_by, user_code, batch, reply)
    SELECT i.history_generation, g.id, g.uid, clock_timestamp(), end_unsent(g.generation, g.id, 'cancelled'), g.enqueued_at, g.lane, g.source, g.addressed, g.attempts,
           g.doubts, g.recipients, g.lease_no, g.user_id, g.row_id, g.model_id, g.posted_by, g.user_code, g.batch,
           CASE WHEN g.doubts > 0 THEN 'in doubt, and ' ELSE '' END || words
      FROM gone g CROSS JOIN installation i ORDER BY g.id;
    RETURN step_done(step.taken, step.left_alone, step.last, false);
END $$;

-- What waits, or is held until a setting changes, is held until an operator releases it.
CREATE FUNCTION mailroom.hold_messages(filter jsonb, arguments jsonb DEFAULT '{}', after bigint DEFAULT 0, max_rows integer DEFAULT 1000) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    step record;
    hold integer;
    words constant text := coalesce(nullif(btrim(arguments ->> 'note'), '') || ' (' || session_user || ')', 'operator ' || session_user);
BEGIN
    step := take_selected('hold', filter, arguments, after, max_rows);
    IF cardinality(step.taken) > 0 THEN
        INSERT INTO place AS p (key, kind, reason, subject, remedy)
        VALUES ('operator_hold/' || md5(words), 'hold', 'operator_hold', words, 'an operator holds it: `mailroom release` lets it go')
        ON CONFLICT (key) DO UPDATE SET subject = excluded.subject RETURNING p.id INTO hold; -- locked, so that nobody clears it away meanwhile
        PERFORM tell_story(step.taken, 'held', 'held', arguments);
        UPDATE queue q SET place_id = hold, run_at = statement_timestamp(), put_off_since = NULL WHERE q.id = ANY (step.taken);
    END IF;
    RETURN step_done(step.taken, step.left_alone, step.last, false);
END $$;

-- Lets go what is held for whatever reason; what the settings still forbid is held again. In doubt: sent again, as a possible duplicate. Quarantined:
-- claimed alone, and quarantined again if its dispatcher dies once more. Its sender changed: with identity `new` it goes under the sender that the
-- settings give now; with `keep` only if they give the old one again.
CREATE FUNCTION mailroom.release_messages(filter jsonb, arguments jsonb DEFAULT '{}', after bigint DEFAULT 0, max_rows integer DEFAULT 1000) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    step record;
BEGIN
    step := take_selected('release', filter, arguments, after, max_rows);
    PERFORM tell_story(step.taken, 'released', CASE arguments ->> 'identity' WHEN 'new' THEN 'its sender may change: released'
                                                                            WHEN 'keep' THEN 'its sender stays: released' ELSE 'released' END, arguments);
    UPDATE queue q SET place_id = CASE WHEN q.crashes >= 2 THEN 1 ELSE 0 END, crashes = least(q.crashes, 2), run_at = greatest(statement_timestamp(), q.not_before),
           pinned = CASE WHEN p.reason = 'identity_changed' AND arguments ->> 'identity' = 'new' THEN NULL ELSE q.pinned END
      FROM place p WHERE p.id = q.place_id AND q.id = ANY (step.taken);
    RETURN step_done(step.taken, step.left_alone, step.last, true);
END $$;

-- Names another user, form or model. What waits for a setting, for its account or for its next try is sorted again now; what is in doubt keeps its
-- time, and what is held for an operator stays held.
CREATE FUNCTION mailroom.reassign_messages(filter jsonb, arguments jsonb DEFAULT '{}', after bigint DEFAULT 0, max_rows integer DEFAULT 1000) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    step record;
    new_user users;
    new_row rows;
    new_model models;
BEGIN
    step := take_selected('reassign', filter, arguments, after, max_rows);
    SELECT * INTO new_user FROM users u WHERE u.code = btrim(arguments ->> 'user');
    SELECT * INTO new_row FROM rows r WHERE r.code = btrim(arguments ->> 'form');
    SELECT * INTO new_model FROM models m WHERE m.code = btrim(arguments ->> 'model');
    PERFORM tell_story(step.taken, 'reassigned', concat_ws(', ', 'user ' || new_user.code, 'form ' || new_row.code, 'model ' || new_model.code) || ' named', arguments);
    UPDATE queue q SET user_id = coalesce(new_user.id, q.user_id), user_code = coalesce(new_user.code, q.user_code),
           row_id = coalesce(new_row.id, q.row_id), model_id = coalesce(new_model.id, q.model_id),
           place_id = CASE WHEN p.kind = 'hold' AND NOT p.self_releasing THEN q.place_id WHEN q.crashes >= 2 THEN 1 ELSE 0 END,
           run_at = CASE WHEN p.kind = 'hold' AND NOT p.self_releasing OR p.kind <> 'hold' AND q.doubts > 0 AND q.run_at > clock_timestamp() THEN q.run_at
                         ELSE greatest(statement_timestamp(), q.not_before) END
      FROM place p WHERE p.id = q.place_id AND q.id = ANY (step.taken);
    RETURN step_done(step.taken, step.left_alone, step.last, true);
END $$;

-- ---- limits, for administrators

CREATE FUNCTION mailroom.checked_server(server text, login text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF coalesce(btrim(server), '') !~ '^[A-Za-z0-9._:-]{1,253}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('"%s" is not a host name', left(server, 60));
    ELSIF coalesce(login, '') = '' OR octet_length(login) > 254 OR mailroom.has_control(login) THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = 'a login has 1 to 254 octets and no control characters; * means each that has no limits of its own';
    END IF;
    RETURN lower(btrim(server));
END $$;

-- Saves limits of a server, for one login or for each (*). What is not named stays as it is; 0 is no limit.
CREATE FUNCTION mailroom.save_limits(server text, login text, settings jsonb) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    host constant text := checked_server(save_limits.server, save_limits.login);
    problems text;
BEGIN
    IF jsonb_typeof(settings) IS DISTINCT FROM 'object' OR settings = '{}' THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = 'name at least one of messages_per_minute, connections, recipients_per_day';
    END IF;
    SELECT string_agg(format('%s: %s', key, CASE WHEN key <> ALL (ARRAY['messages_per_minute', 'connections', 'recipients_per_day'])
                                                     THEN 'there is no such limit (messages_per_minute, connections, recipients_per_day)'
                                                 ELSE format('"%s" is not a number from 0 (no limit) to 100000000', left(value, 60)) END), E'\n' ORDER BY key) INTO problems
      FROM jsonb_each_text(settings)
     WHERE key <> ALL (ARRAY['messages_per_minute', 'connections', 'recipients_per_day']) OR coalesce(btrim(value), '') !~ '^[0-9]{1,8}$|^100000000$';
    IF problems IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = problems;
    END IF;
    INSERT INTO limits AS l (server, login, messages_per_minute, connections, recipients_per_day)
    VALUES (host, save_limits.login, coalesce((settings ->> 'messages_per_minute')::integer, 0), coalesce((settings ->> 'connections')::integer, 0),
            coalesce((settings ->> 'recipients_per_day')::integer, 0))
    ON CONFLICT (server, login) DO UPDATE
       SET messages_per_minute = coalesce((settings ->> 'messages_per_minute')::integer, l.messages_per_minute),
           connections = coalesce((settings ->> 'connections')::integer, l.connections),
           recipients_per_day = coalesce((settings ->> 'recipients_per_day')::integer, l.recipients_per_day);
    PERFORM settings_changed(NULL);
END $$;

-- Whether there were any.
CREATE FUNCTION mailroom.remove_limits(server text, login text) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    host constant text := checked_server(remove_limits.server, remove_limits.login);
BEGIN
    DELETE FROM limits l WHERE l.server = host AND l.login = remove_limits.login;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM settings_changed(NULL);
    RETURN true;
END $$;
