-- Enqueueing, in the ERP's own transaction: a rolled-back invoice sends nothing.

-- One problem of a message that was refused.
CREATE FUNCTION mailroom.problem(field text, reason text) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_array(jsonb_build_object('field', field, 'reason', reason))
$$;

-- The addresses of one field: a text (`Name <address>` or a bare address), an object {"name", "address"}, or an array of these.
CREATE FUNCTION mailroom.parse_addresses(field text, given jsonb, OUT addresses jsonb, OUT problems jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    item jsonb;
    place text;
    position integer := 0;
    name text;
    address text;
    reason text;
BEGIN
    addresses := '[]';
    problems := '[]';
    IF given IS NULL OR given = 'null' THEN
        RETURN;
    END IF;
    FOR item IN SELECT value FROM jsonb_array_elements(CASE jsonb_typeof(given) WHEN 'array' THEN given ELSE jsonb_build_array(given) END)
    LOOP
        place := CASE jsonb_typeof(given) WHEN 'array' THEN format('%s[%s]', field, position) ELSE field END;
        IF jsonb_typeof(item) = 'object' AND (item - 'name' - 'address') = '{}' AND jsonb_typeof(item -> 'address') = 'string'
           AND coalesce(jsonb_typeof(item -> 'name'), 'null') IN ('string', 'null') THEN
            name := coalesce(item ->> 'name', '');
            address := btrim(coalesce(item ->> 'address', ''));
        ELSIF jsonb_typeof(item) = 'string' THEN
            name := btrim(item #>> '{}');
            address := mailroom.address_of(name);
            name := CASE WHEN right(name, 1) = '>' THEN btrim(regexp_replace(name, '<[^<]*>$', '')) ELSE '' END;
            IF name ~ '^".*"$' THEN
                name := regexp_replace(substr(name, 2, length(name) - 2), '\\(.)', '\1', 'g');
            END IF;
        ELSE
            problems := problems || mailroom.problem(place, 'must be a text such as "Name <address>" or an object with name and address');
            position := position + 1;
            CONTINUE;
        END IF;
        reason := mailroom.address_problem(coalesce(address, ''));
        IF reason IS NOT NULL THEN
            problems := problems || mailroom.problem(place, reason);
        ELSIF mailroom.has_control(name) OR octet_length(name) > 300 THEN
            problems := problems || mailroom.problem(place, 'the name is longer than 300 octets or contains a control character');
        ELSE
            addresses := addresses || jsonb_build_object('kind', field, 'name', name, 'address', address);
        END IF;
        position := position + 1;
    END LOOP;
END $$;

-- A short text that may stand in a header or a column; NULL: nothing wrong.
CREATE FUNCTION mailroom.text_problem(value jsonb, max_octets integer) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN value IS NULL OR value = 'null' THEN NULL
                WHEN jsonb_typeof(value) <> 'string' THEN 'must be a text'
                WHEN octet_length(value #>> '{}') > max_octets THEN format('is longer than %s octets', max_octets)
                WHEN mailroom.has_control(value #>> '{}') THEN 'contains a control character (a line break, a tab or the like)' END
$$;

-- The producer's own headers: {"X-Name": "value"}. Ours are ours.
CREATE FUNCTION mailroom.header_problems(headers jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    name text;
    value jsonb;
    reason text;
    problems jsonb := '[]';
BEGIN
    IF headers IS NULL OR headers = 'null' THEN
        RETURN problems;
    ELSIF jsonb_typeof(headers) <> 'object' THEN
        RETURN mailroom.problem('headers', 'must be an object of names and values');
    ELSIF (SELECT count(*) FROM jsonb_object_keys(headers)) > 50 THEN
        RETURN mailroom.problem('headers', 'more than 50 headers');
    END IF;
    FOR name, value IN SELECT * FROM jsonb_each(headers) LOOP
        reason := CASE
            WHEN name !~ '^[!-9;-~]{1,76}$' THEN 'is not a header name (1 to 76 printable US-ASCII characters without a colon)'
            WHEN lower(name) ~ '^(from|sender|reply-to|to|cc|bcc|subject|date|message-id|mime-version|return-path|received|dkim-signature|content-.*|resent-.*)$'
                THEN 'is written by mailroom and cannot be given'
            WHEN value = 'null' THEN 'must be a text'
            ELSE mailroom.text_problem(value, 8000) END;
        IF reason IS NOT NULL THEN
            problems := problems || mailroom.problem(format('headers.%s', regexp_replace(left(name, 80), '[\u0001-\u001F\u007F-\u009F]', '?', 'g')), reason);
        END IF;
    END LOOP;
    RETURN problems;
END $$;

-- The attachments, checked and decoded: [{"name", "type", "content" (base64), "content_id"}].
CREATE FUNCTION mailroom.parse_attachments(given jsonb, OUT attachments mailroom.attachment[], OUT problems jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    item jsonb;
    place text;
    parsed mailroom.attachment;
    found jsonb;
BEGIN
    attachments := '{}';
    problems := '[]';
    IF given IS NULL OR given = 'null' THEN
        RETURN;
    ELSIF jsonb_typeof(given) <> 'array' THEN
        problems := mailroom.problem('attachments', 'must be an array');
        RETURN;
    ELSIF jsonb_array_length(given) > 100 THEN
        problems := mailroom.problem('attachments', 'more than 100 attachments');
        RETURN;
    END IF;
    FOR item IN SELECT value FROM jsonb_array_elements(given) LOOP
        place := format('attachments[%s]', cardinality(attachments));
        found := '[]';
        IF jsonb_typeof(item) <> 'object' THEN
            found := mailroom.problem(place, 'must be an object with name, type and content');
            item := '{}';
        ELSE
            SELECT coalesce(jsonb_agg(jsonb_build_object('field', place || '.' || key, 'reason', 'there is no such field')), '[]') INTO found
              FROM jsonb_object_keys(item) key WHERE key NOT IN ('name', 'type', 'content', 'content_id');
        END IF;
        parsed.position := cardinality(attachments);
        parsed.name := coalesce(item ->> 'name', '');
        parsed.media_type := lower(coalesce(item ->> 'type', 'application/octet-stream'));
        parsed.content_id := item ->> 'content_id';
        IF parsed.name = '' THEN
            found := found || mailroom.problem(place || '.name', 'is missing');
        ELSIF mailroom.text_problem(item -> 'name', 255) IS NOT NULL THEN
            found := found || mailroom.problem(place || '.name', mailroom.text_problem(item -> 'name', 255));
        END IF;
        IF parsed.media_type !~ '^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$' OR parsed.media_type ~ '^(multipart|message)/' THEN
            found := found || mailroom.problem(place || '.type', 'is not a media type such as application/pdf');
        END IF;
        IF jsonb_typeof(item -> 'content_id') NOT IN ('string', 'null') THEN
            found := found || mailroom.problem(place || '.content_id', 'must be a text');
        ELSIF parsed.content_id !~ '^[!-;=?-~]{1,200}$' THEN
            found := found || mailroom.problem(place || '.content_id', 'must be 1 to 200 printable US-ASCII characters without < and >');
        END IF;
        BEGIN
            parsed.bytes := decode(item ->> 'content', 'base64');
            IF jsonb_typeof(item -> 'content') NOT IN ('string', 'null') THEN
                found := found || mailroom.problem(place || '.content', 'must be a text');
            ELSIF parsed.bytes IS NULL THEN
                found := found || mailroom.problem(place || '.content', 'is missing');
            END IF;
        EXCEPTION WHEN invalid_parameter_value THEN
            parsed.bytes := '';
            found := found || mailroom.problem(place || '.content', CASE jsonb_typeof(item -> 'content') WHEN 'string' THEN 'is not base64' ELSE 'must be a text' END);
        END;
        parsed.size := coalesce(octet_length(parsed.bytes), 0);
        attachments := attachments || parsed;
        problems := problems || found;
    END LOOP;
END $$;

-- Which kind of producer the session's login is: a property of its role, never an argument. 0 the ERP, 1 MOBILE.
CREATE FUNCTION mailroom.source_of_session() RETURNS smallint LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT pg_has_role(session_user, 'mailroom_mobile', 'MEMBER') OR (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
        RETURN 0;
    ELSIF pg_has_role(session_user, 'mailroom_producer', 'MEMBER') THEN
        RAISE EXCEPTION USING ERRCODE = 'MR003',
            MESSAGE = format('mailroom: the login %s is a member of both mailroom_producer and mailroom_mobile', session_user),
            HINT = 'A login that posts for MOBILE posts nothing else: give each its own login.';
    END IF;
    RETURN 1;
END $$;

-- Refuses a message: every problem at once, each with its field.
CREATE FUNCTION mailroom.refuse(problems jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'MR001',
        MESSAGE = 'mailroom.enqueue: ' || (SELECT string_agg((p ->> 'field') || ': ' || (p ->> 'reason'), '; ') FROM jsonb_array_elements(problems) p),
        DETAIL = problems::text,
        HINT = 'README.md, "Enqueue", lists the fields of a message. Nothing was enqueued.';
END $$;

-- Enqueues one message and returns its uid. The fields are listed in README.md.
CREATE FUNCTION mailroom.enqueue(message jsonb) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    v_source constant smallint := source_of_session();
    problems jsonb := '[]';
    field text;
    reason text;
    parsed record;
    recipients jsonb := '[]';
    reply_to jsonb;
    files attachment[];
    v_row rows;
    v_model models;
    v_user_id integer;
    v_not_before timestamptz;
    v_expires_at timestamptz;
    limits installation;
    total bigint;
    v_lane text;
    v_digest bytea;
    earlier record;
    new_uid constant uuid := gen_random_uuid();
    new_id bigint;
BEGIN
    IF jsonb_typeof(message) IS DISTINCT FROM 'object' THEN
        PERFORM refuse(problem('message', 'must be a JSON object'));
    END IF;
    SELECT * INTO STRICT limits FROM installation;

    -- Asked again: the answer is the first one, whatever has changed since (its expiry passed, its form was renamed).
    IF jsonb_typeof(message -> 'idempotency_key') = 'string' THEN
        v_digest := sha256(convert_to((message - 'idempotency_key')::text, 'UTF8'));
        SELECT i.uid INTO earlier FROM idempotency i WHERE i.source = v_source AND i.key = message ->> 'idempotency_key' AND i.digest = v_digest;
        IF FOUND THEN
            RETURN earlier.uid;
        END IF;
    END IF;

    SELECT coalesce(jsonb_agg(jsonb_build_object('field', key, 'reason', 'there is no such field')), '[]') INTO problems
      FROM jsonb_object_keys(message) key
     WHERE key <> ALL (ARRAY['user', 'form', 'model', 'to', 'cc', 'bcc', 'reply_to', 'subject', 'text', 'html', 'headers', 'attachments',
                             'document', 'batch', 'idempotency_key', 'lane', 'not_before', 'expires_at']);

    -- Short texts. The subject may be empty, but it must be meant.
    IF message ->> 'subject' IS NULL THEN
        problems := problems || problem('subject', 'is missing');
    END IF;
    FOR field, reason IN
        SELECT f, text_problem(message -> f, size)
          FROM (VALUES ('user', 100), ('form', 100), ('model', 100), ('subject', 2000), ('document', 200), ('batch', 200),
                       ('idempotency_key', 200), ('lane', 20)) AS short(f, size)
    LOOP
        IF reason IS NOT NULL THEN
            problems := problems || problem(field, reason);
        END IF;
    END LOOP;
    IF message ->> 'idempotency_key' = '' THEN
        problems := problems || problem('idempotency_key', 'must not be empty');
    END IF;

    -- Who gets it.
    FOREACH field IN ARRAY ARRAY['to', 'cc', 'bcc'] LOOP
        IF message ? field THEN
            SELECT * INTO parsed FROM parse_addresses(field, message -> field);
            recipients := recipients || parsed.addresses;
            problems := problems || parsed.problems;
        END IF;
    END LOOP;
    IF recipients = '[]' AND NOT (jsonb_path_exists(problems, '$[*] ? (@.field like_regex "^(to|cc|bcc)")')) THEN
        problems := problems || problem('to', 'no recipient: give to, cc or bcc');
    ELSIF jsonb_array_length(recipients) > limits.max_recipients THEN
        problems := problems || problem('to', format('%s recipients, more than %s', jsonb_array_length(recipients), limits.max_recipients));
    END IF;
    IF message ? 'reply_to' THEN
        SELECT * INTO parsed FROM parse_addresses('reply_to', message -> 'reply_to');
        reply_to := parsed.addresses;
        problems := problems || parsed.problems;
        IF jsonb_array_length(reply_to) > 20 THEN
            problems := problems || problem('reply_to', 'more than 20 addresses');
        END IF;
    END IF;

    -- What it says.
    problems := problems || header_problems(message -> 'headers');
    SELECT * INTO parsed FROM parse_attachments(message -> 'attachments');
    files := parsed.attachments;
    problems := problems || parsed.problems;
    FOREACH field IN ARRAY ARRAY['text', 'html'] LOOP
        IF jsonb_typeof(message -> field) NOT IN ('string', 'null') THEN
            problems := problems || problem(field, 'must be a text');
        END IF;
    END LOOP;
    IF btrim(coalesce(message ->> 'text', ''), E' \t\r\n') = '' AND btrim(coalesce(message ->> 'html', ''), E' \t\r\n') = '' AND cardinality(files) = 0 THEN
        problems := problems || problem('text', 'the message is empty: give text, html or an attachment');
    END IF;
    total := coalesce(octet_length(message ->> 'text'), 0) + coalesce(octet_length(message ->> 'html'), 0)
           + coalesce((SELECT sum(size) FROM unnest(files)), 0);
    IF total > limits.max_message_size THEN
        problems := problems || problem(CASE WHEN cardinality(files) > 0 THEN 'attachments' ELSE 'text' END,
            format('text, html and attachments have %s octets together, more than %s', total, limits.max_message_size));
    END IF;

    -- When, and in which lane: it follows volume, not identity.
    v_lane := coalesce(message ->> 'lane', CASE WHEN message ->> 'batch' IS NULL THEN 'normal' ELSE 'bulk' END);
    IF v_lane <> ALL (ARRAY['urgent', 'normal', 'bulk']) THEN
        problems := problems || problem('lane', 'must be urgent, normal or bulk');
    END IF;
    FOREACH field IN ARRAY ARRAY['not_before', 'expires_at'] LOOP
        BEGIN
            IF jsonb_typeof(message -> field) NOT IN ('string', 'null') OR message ->> field !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
                RAISE invalid_datetime_format; -- neither words ("infinity", "tomorrow") nor an order of day and month that the session decides
            ELSIF field = 'not_before' THEN
                v_not_before := (message ->> field)::timestamptz;
            ELSE
                v_expires_at := (message ->> field)::timestamptz;
            END IF;
        EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_text_representation OR invalid_parameter_value
                       OR invalid_time_zone_displacement_value THEN
            problems := problems || problem(field, 'is not a time such as 2026-12-31T18:00:00+01:00');
        END;
    END LOOP;
    IF v_expires_at <= greatest(v_not_before, clock_timestamp()) THEN
        problems := problems || problem('expires_at', 'lies in the past or not after not_before');
    END IF;

    -- For whom. MOBILE's codes are references and not checked; an unknown user is held later, not refused.
    IF message ->> 'form' IS NOT NULL AND message ->> 'model' IS NOT NULL AND v_source = 0 THEN
        problems := problems || problem('form', format('a message names a form ("%s") or a model ("%s"), not both', message ->> 'form', message ->> 'model'));
    ELSIF v_source = 0 AND message ->> 'form' IS NOT NULL THEN
        SELECT r.* INTO v_row FROM rows r WHERE r.code = btrim(message ->> 'form');
        IF NOT FOUND THEN
            problems := problems || problem('form', format('there is no form "%s"', message ->> 'form'));
        END IF;
    ELSIF v_source = 0 AND message ->> 'model' IS NOT NULL THEN
        SELECT m.* INTO v_model FROM models m WHERE m.code = btrim(message ->> 'model');
        IF NOT FOUND THEN
            problems := problems || problem('model', format('there is no model "%s"', message ->> 'model'));
        END IF;
    END IF;
    IF problems <> '[]' THEN
        PERFORM refuse(problems);
    END IF;
    SELECT u.id INTO v_user_id FROM users u WHERE u.code = btrim(message ->> 'user');

    IF message ->> 'idempotency_key' IS NOT NULL THEN
        INSERT INTO idempotency (source, key, uid, digest) VALUES (v_source, message ->> 'idempotency_key', new_uid, v_digest) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT i.uid, i.digest INTO STRICT earlier FROM idempotency i WHERE i.source = v_source AND i.key = message ->> 'idempotency_key';
            IF earlier.digest = v_digest THEN
                RETURN earlier.uid;
            END IF;
            PERFORM refuse(problem('idempotency_key', format('"%s" was used for a message of other content, %s', message ->> 'idempotency_key', earlier.uid)));
        END IF;
    END IF;

    INSERT INTO queue (lane, source, addressed, size, user_id, row_id, model_id, run_at, expires_at, uid, user_code, batch)
    VALUES (array_position(ARRAY['urgent', 'normal', 'bulk'], v_lane) - 1, v_source,
            coalesce(btrim(v_row.from_address), btrim(v_model.from_address), '') <> '', total, v_user_id, v_row.id, v_model.id,
            greatest(v_not_before, clock_timestamp()), v_expires_at, new_uid, nullif(btrim(message ->> 'user'), ''), message ->> 'batch')
    RETURNING id INTO new_id;
    INSERT INTO content (id, uid, recipients, reply_to, subject, headers, body_text, body_html, document, form_code, model_code, attachments)
    VALUES (new_id, new_uid, recipients, nullif(reply_to, '[]'), message ->> 'subject', nullif(nullif(message -> 'headers', 'null'), '{}'), message ->> 'text',
            message ->> 'html', message ->> 'document', message ->> 'form', message ->> 'model', cardinality(files));
    IF cardinality(files) > 0 THEN
        INSERT INTO attachment (message_id, position, name, media_type, content_id, size, bytes)
        SELECT new_id, f.position, f.name, f.media_type, f.content_id, f.size, f.bytes FROM unnest(files) f;
    END IF;
    -- One listener that says it is idle is reason enough to wake; a notification in every transaction would serialise their commits.
    IF EXISTS (SELECT FROM dispatcher d WHERE d.wants_wake AND d.beat_at + d.lease > clock_timestamp()) THEN
        PERFORM pg_notify('mailroom_wake', '');
    END IF;
    RETURN new_uid;
END $$;
