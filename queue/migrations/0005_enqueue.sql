-- Enqueueing, in the ERP's own transaction: a rolled-back invoice sends nothing.

-- One problem of a message that was refused.
CREATE FUNCTION mailroom.problem(field text, reason text) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_array(jsonb_build_object('field', field, 'reason', reason))
$$;

-- Whether a text is of a kind of address that address_problem accepts for sure, asked first because nearly all are and that costs more.
-- 64 octets in all keep every part of it within its own limit.
CREATE FUNCTION mailroom.is_plain_address(value text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT octet_length(value) <= 64 AND value ~ '^[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9]+([.-][A-Za-z0-9]+)*$'
$$;

-- One recipient: a text (`Name <address>` or a bare address) or an object {"name", "address"}.
CREATE FUNCTION mailroom.parse_address(field text, item jsonb, OUT parsed jsonb, OUT reason text) LANGUAGE plpgsql STABLE AS $$
DECLARE
    name text;
    address text;
BEGIN
    IF jsonb_typeof(item) = 'string' THEN
        name := btrim(item #>> '{}');
        IF right(name, 1) = '>' THEN
            address := coalesce(mailroom.address_of(name), '');
            name := btrim(regexp_replace(name, '<[^<]*>$', ''));
        ELSE
            address := name;
            name := '';
        END IF;
        IF name ~ '^".*"$' THEN
            name := regexp_replace(substr(name, 2, length(name) - 2), '\\(.)', '\1', 'g');
        END IF;
    ELSIF jsonb_typeof(item) = 'object' AND (item - 'name' - 'address') = '{}' AND jsonb_typeof(item -> 'address') = 'string'
       AND coalesce(jsonb_typeof(item -> 'name'), 'null') IN ('string', 'null') THEN
        name := coalesce(item ->> 'name', '');
        address := btrim(coalesce(item ->> 'address', ''));
    ELSE
        reason := 'must be a text such as "Name <address>" or an object with name and address';
        RETURN;
    END IF;
    IF NOT mailroom.is_plain_address(address) THEN
        reason := mailroom.address_problem(address);
    END IF;
    IF reason IS NULL AND name <> '' AND (mailroom.has_control(name) OR octet_length(name) > 300) THEN
        reason := 'the name is longer than 300 octets or contains a control character';
    END IF;
    parsed := jsonb_build_object('kind', field, 'name', name, 'address', address);
END $$;

-- The addresses of one field: one recipient or an array of them. `problems` is '[]' where nothing is wrong.
CREATE FUNCTION mailroom.parse_addresses(field text, given jsonb, OUT addresses jsonb, OUT problems jsonb) LANGUAGE plpgsql STABLE AS $$
DECLARE
    one record;
    found jsonb[] := '{}';
BEGIN
    problems := '[]';
    IF jsonb_typeof(given) = 'string' AND mailroom.is_plain_address(given #>> '{}') THEN
        addresses := jsonb_build_array(jsonb_build_object('kind', field, 'name', '', 'address', given));
    ELSIF jsonb_typeof(given) = 'array' THEN
        FOR i IN 0 .. jsonb_array_length(given) - 1 LOOP
            one := mailroom.parse_address(field, given -> i);
            IF one.reason IS NULL THEN
                found[cardinality(found) + 1] := one.parsed;
            ELSE
                problems := problems || mailroom.problem(format('%s[%s]', field, i), one.reason);
            END IF;
        END LOOP;
        addresses := to_jsonb(found);
    ELSIF given IS NULL OR given = 'null' THEN
        addresses := '[]';
    ELSE
        one := mailroom.parse_address(field, given);
        IF one.reason IS NULL THEN
            addresses := jsonb_build_array(one.parsed);
        ELSE
            addresses := '[]';
            problems := mailroom.problem(field, one.reason);
        END IF;
    END IF;
END $$;

-- A short text that may stand in a header or a column; NULL: nothing wrong.
CREATE FUNCTION mailroom.text_problem(value jsonb, max_octets integer) RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE WHEN value IS NULL OR value = 'null' THEN NULL
                WHEN jsonb_typeof(value) <> 'string' THEN 'must be a text'
                WHEN octet_length(value #>> '{}') > max_octets THEN format('is longer than %s octets', max_octets)
                WHEN mailroom.has_control(value #>> '{}') THEN 'contains a control character (a line break, a tab or the like)' END;
END $$;

-- The producer's own headers: {"X-Name": "value"}. Ours are ours.
CREATE FUNCTION mailroom.header_problems(headers jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
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

-- Keys of an object that it may not have.
CREATE FUNCTION mailroom.unknown_fields(place text, given jsonb, known text[]) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_object('field', format('%s.%s', place, regexp_replace(left(key, 80), '[\u0001-\u001F\u007F-\u009F]', '?', 'g')),
                                                 'reason', 'there is no such field')), '[]')
      FROM jsonb_object_keys(given - known) key
$$;

-- An invitation, an answer to one and the like: {"method": "REQUEST", "content": "BEGIN:VCALENDAR..."}. Readers ask the part for its method and the
-- calendar for its METHOD; where these differ, some show nothing.
CREATE FUNCTION mailroom.calendar_problems(given jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    methods constant text[] := ARRAY['PUBLISH', 'REQUEST', 'REPLY', 'ADD', 'CANCEL', 'REFRESH', 'COUNTER', 'DECLINECOUNTER']; -- RFC 5546 section 1.4
    max_octets constant integer := 1000000; -- ours: an event has some thousand
    method text;
    content text;
    said text[];
    reason text;
    problems jsonb;
BEGIN
    IF jsonb_typeof(given) <> 'object' THEN
        RETURN mailroom.problem('calendar', 'must be an object with method and content');
    END IF;
    problems := mailroom.unknown_fields('calendar', given, ARRAY['method', 'content']);
    method := upper(given ->> 'method');
    content := given ->> 'content';
    reason := CASE WHEN method IS NULL THEN 'is missing'
                   WHEN jsonb_typeof(given -> 'method') <> 'string' OR method <> ALL (methods) THEN 'must be one of ' || array_to_string(methods, ', ') END;
    IF reason IS NOT NULL THEN
        problems := problems || mailroom.problem('calendar.method', reason);
        method := NULL;
    END IF;
    reason := CASE WHEN content IS NULL THEN 'is missing'
                   WHEN jsonb_typeof(given -> 'content') <> 'string' THEN 'must be a text'
                   WHEN octet_length(content) > max_octets THEN format('is longer than %s octets', max_octets)
                   WHEN content !~* '^BEGIN:VCALENDAR\s.*\sEND:VCALENDAR\s*$' THEN 'must begin with BEGIN:VCALENDAR and end with END:VCALENDAR' END;
    IF reason IS NULL THEN -- a long line may be folded anywhere (RFC 5545 section 3.1)
        SELECT array_agg(upper(btrim(m[1]))) INTO said
          FROM regexp_matches(regexp_replace(content, '\r?\n[ \t]', '', 'g'), '[\r\n]METHOD(?:;[^:\r\n]*)?:([^\r\n]*)', 'gi') m;
        reason := CASE WHEN coalesce(cardinality(said), 0) <> 1 THEN 'must have one METHOD'
                       WHEN said[1] <> method THEN format('has METHOD:%s, but the method is %s', regexp_replace(left(said[1], 40), '[\u0001-\u001F\u007F-\u009F]', '?', 'g'), method) END;
    END IF;
    IF reason IS NOT NULL THEN
        problems := problems || mailroom.problem('calendar.content', reason);
    END IF;
    RETURN problems;
END $$;

-- How a recipient leaves by one click (RFC 8058): {"url": "https://...", "mailto": "..."}. The characters are those of RFC 3986 without what would end
-- the link in its header. 900 octets (ours) because a link is never folded inside, and a line has at most 998 (RFC 5322 section 2.1.1).
CREATE FUNCTION mailroom.unsubscribe_problems(given jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    reason text;
    problems jsonb;
BEGIN
    IF jsonb_typeof(given) <> 'object' THEN
        RETURN mailroom.problem('unsubscribe', 'must be an object with url and, if you like, mailto');
    END IF;
    problems := mailroom.unknown_fields('unsubscribe', given, ARRAY['url', 'mailto']);
    reason := CASE WHEN given ->> 'url' IS NULL THEN 'is missing'
                   WHEN jsonb_typeof(given -> 'url') <> 'string' THEN 'must be a text'
                   WHEN octet_length(given ->> 'url') > 900 THEN 'is longer than 900 octets'
                   WHEN given ->> 'url' !~ '^https://[A-Za-z0-9][A-Za-z0-9._~:/?#@!$&''()*+;=%-]*$'
                       THEN 'must be a link https://... of printable US-ASCII characters; blanks, commas, brackets and others as %XX' END;
    IF reason IS NOT NULL THEN
        problems := problems || mailroom.problem('unsubscribe.url', reason);
    END IF;
    IF jsonb_typeof(given -> 'mailto') NOT IN ('string', 'null') THEN
        problems := problems || mailroom.problem('unsubscribe.mailto', 'must be a text');
    ELSIF NOT mailroom.is_plain_address(given ->> 'mailto') THEN
        reason := mailroom.address_problem(given ->> 'mailto');
        IF reason IS NOT NULL THEN
            problems := problems || mailroom.problem('unsubscribe.mailto', reason);
        END IF;
    END IF;
    RETURN problems;
END $$;

-- What only some messages have: priority, calendar, unsubscribe. The headers that are made of them may not be given a second time.
CREATE FUNCTION mailroom.option_problems(message jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
DECLARE
    problems jsonb := '[]';
    name text;
    field text;
BEGIN
    IF message ->> 'priority' NOT IN ('high', 'normal', 'low') THEN
        problems := problems || mailroom.problem('priority', 'must be high, normal or low');
    END IF;
    IF message ->> 'calendar' IS NOT NULL THEN
        problems := problems || mailroom.calendar_problems(message -> 'calendar');
    END IF;
    IF message ->> 'unsubscribe' IS NOT NULL THEN
        problems := problems || mailroom.unsubscribe_problems(message -> 'unsubscribe');
    END IF;
    IF jsonb_typeof(message -> 'headers') = 'object' THEN
        FOR name IN SELECT jsonb_object_keys(message -> 'headers') LOOP
            field := CASE WHEN lower(name) IN ('x-priority', 'importance', 'x-msmail-priority', 'priority') THEN 'priority'
                          WHEN lower(name) IN ('list-unsubscribe', 'list-unsubscribe-post') THEN 'unsubscribe' END;
            IF message ->> field IS NOT NULL THEN
                problems := problems || mailroom.problem('headers.' || name, format('says what "%s" says: give one of them', field));
            END IF;
        END LOOP;
    END IF;
    RETURN problems;
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

-- Refuses: every problem at once, each with its field.
CREATE FUNCTION mailroom.refuse(problems jsonb, function text DEFAULT 'mailroom.enqueue') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'MR001',
        MESSAGE = function || ': ' || (SELECT string_agg((p ->> 'field') || ': ' || (p ->> 'reason'), '; ') FROM jsonb_array_elements(problems) p),
        DETAIL = problems::text,
        HINT = '"Fields of a message" in docs/erp.md lists what there is. Nothing was enqueued.';
END $$;

-- The id of a blob with these octets in a generation: one that is there, or a new one.
CREATE FUNCTION mailroom.stored_blob(generation smallint, bytes bytea) RETURNS bigint LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    digest constant bytea := sha256(bytes);
    found bigint;
BEGIN
    SELECT b.id INTO found FROM mailroom.blob b WHERE b.generation = stored_blob.generation AND b.sha256 = digest LIMIT 1;
    IF found IS NULL THEN
        INSERT INTO mailroom.blob (generation, sha256, bytes) VALUES (stored_blob.generation, digest, stored_blob.bytes) RETURNING id INTO found;
    END IF;
    RETURN found;
END $$;

-- Attachments: inline (base64), or put before and named by a reference.

-- `<generation>-<id>-<SHA-256 in hex>`: who does not know the octets cannot guess it.
CREATE FUNCTION mailroom.blob_reference(generation smallint, id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s-%s-%s', b.generation, b.id, encode(b.sha256, 'hex')) FROM mailroom.blob b
     WHERE b.generation = blob_reference.generation AND b.id = blob_reference.id
$$;

-- What the references in the attachments of these messages stand for, as {reference: [id, octets]}; one of another generation is copied to this one.
-- What is not in the answer is unknown or cleared away.
CREATE FUNCTION mailroom.referenced_blobs(messages jsonb[], current_generation smallint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    reference text;
    parts text[];
    stored record;
    known jsonb := '{}';
BEGIN
    FOR reference IN
        SELECT DISTINCT a ->> 'blob' FROM unnest(messages) m, jsonb_array_elements(CASE jsonb_typeof(m -> 'attachments') WHEN 'array' THEN m -> 'attachments' ELSE '[]' END) a
         WHERE a ->> 'blob' ~ '^(1[0-5]|[0-9])-[1-9][0-9]{0,17}-[0-9a-f]{64}$'
         ORDER BY 1
    LOOP
        parts := string_to_array(reference, '-');
        SELECT b.id, octet_length(b.bytes) AS octets, CASE WHEN b.generation <> current_generation THEN b.bytes END AS elsewhere INTO stored
          FROM mailroom.blob b WHERE b.generation = parts[1]::smallint AND b.id = parts[2]::bigint AND b.sha256 = decode(parts[3], 'hex');
        IF FOUND THEN
            known := known || jsonb_build_object(reference, jsonb_build_array(
                CASE WHEN stored.elsewhere IS NULL THEN stored.id ELSE mailroom.stored_blob(current_generation, stored.elsewhere) END, stored.octets));
        END IF;
    END LOOP;
    RETURN known;
END $$;

CREATE TYPE mailroom.parsed_attachment AS (position smallint, name text, media_type text, content_id text, size integer, bytes bytea, blob_id bigint);

-- One attachment {"name", "type", "content" or "blob", "content_id"}, checked, its content decoded.
CREATE FUNCTION mailroom.parse_attachment(place text, given jsonb, blobs jsonb, OUT parsed mailroom.parsed_attachment, OUT problems jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    item jsonb := given;
    reason text;
BEGIN
    problems := '[]';
    IF jsonb_typeof(item) <> 'object' THEN
        problems := mailroom.problem(place, 'must be an object with name, type and content');
        item := '{}';
    ELSIF (item - ARRAY['name', 'type', 'content', 'content_id', 'blob']) <> '{}' THEN
        SELECT jsonb_agg(jsonb_build_object('field', place || '.' || key, 'reason', 'there is no such field')) INTO problems
          FROM jsonb_object_keys(item - ARRAY['name', 'type', 'content', 'content_id', 'blob']) key;
    END IF;
    parsed.name := coalesce(item ->> 'name', '');
    parsed.media_type := lower(coalesce(item ->> 'type', 'application/octet-stream'));
    parsed.content_id := item ->> 'content_id';
    reason := CASE WHEN parsed.name = '' THEN 'is missing' ELSE mailroom.text_problem(item -> 'name', 255) END;
    IF reason IS NOT NULL THEN
        problems := problems || mailroom.problem(place || '.name', reason);
    END IF;
    IF parsed.media_type !~ '^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$' OR parsed.media_type ~ '^(multipart|message)/' THEN
        problems := problems || mailroom.problem(place || '.type', 'is not a media type such as application/pdf');
    END IF;
    IF jsonb_typeof(item -> 'content_id') NOT IN ('string', 'null') THEN
        problems := problems || mailroom.problem(place || '.content_id', 'must be a text');
    ELSIF parsed.content_id !~ '^[!-;=?-~]{1,200}$' THEN
        problems := problems || mailroom.problem(place || '.content_id', 'must be 1 to 200 printable US-ASCII characters without < and >');
    END IF;
    IF item ->> 'blob' IS NOT NULL THEN
        parsed.blob_id := blobs -> (item ->> 'blob') ->> 0;
        parsed.size := coalesce((blobs -> (item ->> 'blob') ->> 1)::integer, 0);
        IF item ->> 'content' IS NOT NULL THEN
            problems := problems || mailroom.problem(place || '.blob', 'give content or blob, not both');
        ELSIF parsed.blob_id IS NULL THEN
            problems := problems || mailroom.problem(place || '.blob', 'is unknown or was cleared away: put the attachment again');
        END IF;
        RETURN;
    END IF;
    BEGIN
        parsed.bytes := decode(item ->> 'content', 'base64');
        IF jsonb_typeof(item -> 'content') NOT IN ('string', 'null') THEN
            problems := problems || mailroom.problem(place || '.content', 'must be a text');
        ELSIF parsed.bytes IS NULL THEN
            problems := problems || mailroom.problem(place || '.content', 'is missing');
        END IF;
    EXCEPTION WHEN invalid_parameter_value THEN
        parsed.bytes := '';
        problems := problems || mailroom.problem(place || '.content', CASE jsonb_typeof(item -> 'content') WHEN 'string' THEN 'is not base64' ELSE 'must be a text' END);
    END;
    parsed.size := coalesce(octet_length(parsed.bytes), 0);
END $$;

CREATE FUNCTION mailroom.parse_attachments(given jsonb, blobs jsonb, OUT attachments mailroom.parsed_attachment[], OUT problems jsonb)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    one record;
    parsed mailroom.parsed_attachment;
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
    FOR i IN 0 .. jsonb_array_length(given) - 1 LOOP
        one := mailroom.parse_attachment(format('attachments[%s]', i), given -> i, blobs);
        parsed := one.parsed;
        parsed.position := i;
        attachments[i + 1] := parsed;
        problems := problems || one.problems;
    END LOOP;
END $$;

-- Keeps an attachment for the messages that will carry it. The answer goes as it is into their "attachments"; a "content_id" may be added.
CREATE FUNCTION mailroom.put_attachment(name text, type text, content bytea) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    limits installation;
    item constant jsonb := jsonb_build_object('name', name, 'type', type, 'blob', 'x');
    one constant record := parse_attachment('', item, '{"x": [0, 0]}');
    problems jsonb;
    generation smallint;
BEGIN
    SELECT * INTO STRICT limits FROM installation;
    generation := limits.content_generation;
    SELECT coalesce(jsonb_agg(jsonb_build_object('field', ltrim(p ->> 'field', '.'), 'reason', p ->> 'reason')), '[]') INTO problems
      FROM jsonb_array_elements(one.problems) p;
    IF content IS NULL THEN
        problems := problems || problem('content', 'is missing');
    ELSIF octet_length(content) > limits.max_message_size THEN
        problems := problems || problem('content', format('has %s octets, more than %s', octet_length(content), limits.max_message_size));
    END IF;
    IF problems <> '[]' THEN
        PERFORM refuse(problems, 'mailroom.put_attachment');
    END IF;
    RETURN jsonb_build_object('name', name, 'type', (one.parsed).media_type, 'blob', blob_reference(generation, stored_blob(generation, content)));
END $$;

-- A message as it is stored. `problems` is '[]' where nothing is wrong with it.
CREATE TYPE mailroom.parsed_message AS (
    message jsonb, problems jsonb, recipients jsonb, reply_to jsonb, files mailroom.parsed_attachment[], size integer, lane smallint,
    not_before timestamptz, expires_at timestamptz, user_code text, form_code text, model_code text, batch text);

-- Reads and checks a message, defaults under it: the rules of every door. Only expressions without a table in them as long as nothing is wrong: a
-- statement costs as much as ten of these. Forms and models are looked up by the caller.
CREATE FUNCTION mailroom.parse_message(defaults jsonb, given jsonb, source smallint, limits mailroom.installation, blobs jsonb)
RETURNS mailroom.parsed_message LANGUAGE plpgsql STABLE AS $$
DECLARE
    fields constant text[] := ARRAY['user', 'form', 'model', 'subject', 'document', 'batch', 'idempotency_key', 'lane', 'to', 'cc', 'bcc', 'reply_to', 'text',
                                    'html', 'headers', 'attachments', 'not_before', 'expires_at', 'priority', 'calendar', 'unsubscribe'];
    octets constant integer[] := ARRAY[100, 100, 100, 2000, 200, 200, 200, 20]; -- of the first, the short texts
    message jsonb;
    p mailroom.parsed_message;
    problems jsonb := '[]';
    reason text;
    field text;
    parsed record;
    body_text text;
    body_html text;
    calendar_size integer := 0;
    total bigint;
    at timestamptz;
BEGIN
    IF jsonb_typeof(given) IS DISTINCT FROM 'object' THEN
        p.problems := mailroom.problem('message', 'must be a JSON object');
        RETURN p;
    END IF;
    message := CASE WHEN defaults = '{}' THEN given ELSE defaults || given END;
    IF (message - fields) <> '{}' THEN
        SELECT jsonb_agg(jsonb_build_object('field', key, 'reason', 'there is no such field')) INTO problems FROM jsonb_object_keys(message - fields) key;
    END IF;

    -- Short texts. The subject may be empty, but it must be meant.
    IF message ->> 'subject' IS NULL THEN
        problems := problems || mailroom.problem('subject', 'is missing');
    END IF;
    FOR i IN 1 .. 8 LOOP
        IF message ? fields[i] THEN
            reason := mailroom.text_problem(message -> fields[i], octets[i]);
            IF reason IS NOT NULL THEN
                problems := problems || mailroom.problem(fields[i], reason);
            END IF;
        END IF;
    END LOOP;
    IF message ->> 'idempotency_key' = '' THEN
        problems := problems || mailroom.problem('idempotency_key', 'must not be empty');
    END IF;

    -- Who gets it.
    p.recipients := '[]';
    FOREACH field IN ARRAY ARRAY['to', 'cc', 'bcc'] LOOP
        IF message ? field THEN
            parsed := mailroom.parse_addresses(field, message -> field);
            p.recipients := CASE WHEN p.recipients = '[]' THEN parsed.addresses ELSE p.recipients || parsed.addresses END;
            IF parsed.problems <> '[]' THEN
                problems := problems || parsed.problems;
            END IF;
        END IF;
    END LOOP;
    IF p.recipients = '[]' AND NOT jsonb_path_exists(problems, '$[*] ? (@.field like_regex "^(to|cc|bcc)")') THEN
        problems := problems || mailroom.problem('to', 'no recipient: give to, cc or bcc');
    ELSIF jsonb_array_length(p.recipients) > limits.max_recipients THEN
        problems := problems || mailroom.problem('to', format('%s recipients, more than %s', jsonb_array_length(p.recipients), limits.max_recipients));
    END IF;
    IF message ? 'reply_to' THEN
        parsed := mailroom.parse_addresses('reply_to', message -> 'reply_to');
        p.reply_to := nullif(parsed.addresses, '[]');
        problems := problems || parsed.problems;
        IF jsonb_array_length(parsed.addresses) > 20 THEN
            problems := problems || mailroom.problem('reply_to', 'more than 20 addresses');
        END IF;
    END IF;

    -- What it says.
    p.files := '{}';
    IF message ? 'headers' THEN
        problems := problems || mailroom.header_problems(message -> 'headers');
    END IF;
    IF message ? 'attachments' THEN
        parsed := mailroom.parse_attachments(message -> 'attachments', blobs);
        p.files := parsed.attachments;
        problems := problems || parsed.problems;
    END IF;
    FOREACH field IN ARRAY ARRAY['text', 'html'] LOOP
        IF jsonb_typeof(message -> field) NOT IN ('string', 'null') THEN
            problems := problems || mailroom.problem(field, 'must be a text');
        END IF;
    END LOOP;
    IF message ?| ARRAY['priority', 'calendar', 'unsubscribe'] THEN
        problems := problems || mailroom.option_problems(message);
        calendar_size := coalesce(octet_length(message -> 'calendar' ->> 'content'), 0);
    END IF;
    body_text := coalesce(message ->> 'text', '');
    body_html := coalesce(message ->> 'html', '');
    -- The first characters nearly always tell; trimming megabytes takes its time.
    IF btrim(left(body_text, 20), E' \t\r\n') = '' AND btrim(left(body_html, 20), E' \t\r\n') = '' AND cardinality(p.files) = 0 AND calendar_size = 0
       AND btrim(body_text, E' \t\r\n') = '' AND btrim(body_html, E' \t\r\n') = '' THEN
        problems := problems || mailroom.problem('text', 'the message is empty: give text, html, a calendar or an attachment');
    END IF;
    total := octet_length(body_text)::bigint + octet_length(body_html) + calendar_size;
    FOR i IN 1 .. cardinality(p.files) LOOP
        total := total + (p.files[i]).size;
    END LOOP;
    IF total > limits.max_message_size THEN
        problems := problems || mailroom.problem(CASE WHEN cardinality(p.files) > 0 THEN 'attachments' ELSE 'text' END,
            format('text, html, calendar and attachments have %s octets together, more than %s', total, limits.max_message_size));
        total := 0;
    END IF;
    p.size := total;

    -- When, and in which lane: it follows volume, not identity.
    p.batch := message ->> 'batch';
    p.lane := array_position(ARRAY['urgent', 'normal', 'bulk'], coalesce(message ->> 'lane', CASE WHEN p.batch IS NULL THEN 'normal' ELSE 'bulk' END)) - 1;
    IF p.lane IS NULL THEN
        problems := problems || mailroom.problem('lane', 'must be urgent, normal or bulk');
    END IF;
    FOREACH field IN ARRAY ARRAY['not_before', 'expires_at'] LOOP
        CONTINUE WHEN NOT message ? field;
        BEGIN
            IF jsonb_typeof(message -> field) NOT IN ('string', 'null') OR message ->> field !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}' THEN
                RAISE invalid_datetime_format; -- neither words ("infinity", "tomorrow") nor an order of day and month that the session decides
            END IF;
            at := (message ->> field)::timestamptz;
            IF field = 'not_before' THEN
                p.not_before := at;
            ELSE
                p.expires_at := at;
            END IF;
        EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format OR invalid_text_representation OR invalid_parameter_value
                       OR invalid_time_zone_displacement_value THEN
            problems := problems || mailroom.problem(field, 'is not a time such as 2026-12-31T18:00:00+01:00');
        END;
    END LOOP;
    IF p.expires_at <= greatest(p.not_before, clock_timestamp()) THEN
        problems := problems || mailroom.problem('expires_at', 'lies in the past or not after not_before');
    END IF;

    -- For whom. MOBILE's codes are references and not checked; an unknown user is held later, not refused.
    p.user_code := nullif(btrim(message ->> 'user'), '');
    IF source = 0 THEN
        p.form_code := message ->> 'form';
        p.model_code := message ->> 'model';
        IF p.form_code IS NOT NULL AND p.model_code IS NOT NULL THEN
            problems := problems || mailroom.problem('form', format('a message names a form ("%s") or a model ("%s"), not both', p.form_code, p.model_code));
            p.form_code := NULL;
            p.model_code := NULL;
        END IF;
    END IF;
    p.message := message;
    p.problems := problems;
    RETURN p;
END $$;

-- What makes a message the same as another: all but its key, and of an attachment that was put before only what it says, not where it stands.
CREATE FUNCTION mailroom.message_digest(message jsonb) RETURNS bytea LANGUAGE plpgsql STABLE AS $$
DECLARE
    said text := (message - 'idempotency_key')::text;
BEGIN
    IF message ? 'attachments' THEN
        said := regexp_replace(said, '"blob": "[0-9]+-[0-9]+-([0-9a-f]{64})"', '"blob": "\1"', 'g');
    END IF;
    RETURN sha256(convert_to(said, 'UTF8'));
END $$;

-- When a listener was last woken, in milliseconds: a sequence, because all see it at once and no lock is held on it until a commit.
CREATE SEQUENCE mailroom.woken;

-- Who waits for work. One listener that says it is idle is reason enough to wake.
CREATE VIEW mailroom.idle_dispatcher AS
SELECT d.id FROM mailroom.dispatcher d WHERE d.wants_wake AND d.beat_at + d.lease > clock_timestamp();

-- Wakes them, if nobody did just now: a notification makes commits go one by one, so one in 5 ms is enough for all. Whoever was woken looks again
-- shortly after.
CREATE FUNCTION mailroom.wake() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    now_ms constant bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF (SELECT last_value NOT BETWEEN now_ms - 5 AND now_ms FROM mailroom.woken) THEN
        PERFORM setval('mailroom.woken', now_ms);
        PERFORM pg_notify('mailroom_wake', '');
    END IF;
END $$;

-- The latest transaction that held a batch: who enqueues with an older snapshot would not see it.
CREATE SEQUENCE mailroom.last_hold;

-- Before it is asked whether these batches are held: until the end of the transaction nobody holds or releases one of them, so that what is
-- enqueued is either seen by who holds the batch, or sees the hold. Few locks, however many batches: some share one.
CREATE FUNCTION mailroom.join_batches(batches text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(x'6d61696c'::integer, bucket) FROM (SELECT DISTINCT hashtext(b) & 63 AS bucket FROM unnest(batches) b WHERE b IS NOT NULL ORDER BY 1) buckets;
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') AND EXISTS (
        SELECT FROM mailroom.last_hold h WHERE h.is_called AND NOT pg_visible_in_snapshot(h.last_value::text::xid8, pg_current_snapshot())) THEN
        RAISE EXCEPTION USING ERRCODE = 'serialization_failure', MESSAGE = 'mailroom: a batch was held or released since this transaction began',
            HINT = 'Repeat the transaction.';
    END IF;
END $$;

CREATE FUNCTION mailroom.unknown_code(kind text, code text) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT mailroom.problem(kind, format('there is no %s "%s"', kind, code))
$$;

-- Enqueues one message and returns its uid. The fields are listed in docs/erp.md.
CREATE FUNCTION mailroom.enqueue(message jsonb) RETURNS uuid LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    v_source constant smallint := source_of_session();
    new_uid constant uuid := gen_random_uuid();
    limits installation;
    p parsed_message;
    v_digest bytea;
    earlier record;
    v_row_id integer;
    v_model_id integer;
    v_address text;
    v_place_id integer;
    new_id bigint;
    wake_now boolean;
BEGIN
    SELECT * INTO STRICT limits FROM installation;

    -- Asked again: the answer is the first one, whatever has changed since (its expiry passed, its form was renamed).
    IF jsonb_typeof(message -> 'idempotency_key') = 'string' THEN
        v_digest := message_digest(message);
        SELECT i.uid INTO earlier FROM idempotency i WHERE i.source = v_source AND i.key = message ->> 'idempotency_key' AND i.digest = v_digest;
        IF FOUND THEN
            RETURN earlier.uid;
        END IF;
    END IF;

    p := parse_message('{}', message, v_source, limits, CASE WHEN message ? 'attachments' THEN referenced_blobs(ARRAY[message], limits.content_generation) END);
    IF p.form_code IS NOT NULL THEN
        SELECT r.id, r.from_address INTO v_row_id, v_address FROM rows r WHERE r.code = btrim(p.form_code);
        IF NOT FOUND THEN
            p.problems := p.problems || unknown_code('form', p.form_code);
        END IF;
    ELSIF p.model_code IS NOT NULL THEN
        SELECT m.id, m.from_address INTO v_model_id, v_address FROM models m WHERE m.code = btrim(p.model_code);
        IF NOT FOUND THEN
            p.problems := p.problems || unknown_code('model', p.model_code);
        END IF;
    END IF;
    IF p.problems <> '[]' THEN
        PERFORM refuse(p.problems);
    END IF;

    IF v_digest IS NOT NULL THEN
        INSERT INTO idempotency (source, key, uid, digest) VALUES (v_source, message ->> 'idempotency_key', new_uid, v_digest) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT i.uid, i.digest INTO STRICT earlier FROM idempotency i WHERE i.source = v_source AND i.key = message ->> 'idempotency_key';
            IF earlier.digest = v_digest THEN
                RETURN earlier.uid;
            END IF;
            PERFORM refuse(problem('idempotency_key', format('"%s" was used for a message of other content, %s', message ->> 'idempotency_key', earlier.uid)));
        END IF;
    END IF;
    IF p.batch IS NOT NULL THEN
        PERFORM join_batches(ARRAY[p.batch]);
        SELECT h.place_id INTO v_place_id FROM held_batch h WHERE h.batch = p.batch;
    END IF;

    WITH queued AS (
        INSERT INTO queue (place_id, lane, source, recipients, generation, addressed, size, user_id, row_id, model_id, run_at, not_before, expires_at, uid, posted_by,
                           user_code, batch)
        VALUES (coalesce(v_place_id, 0), p.lane, v_source, jsonb_array_length(p.recipients), limits.content_generation,
                coalesce(btrim(v_address), '') <> '', p.size, (SELECT u.id FROM users u WHERE u.code = p.user_code), v_row_id, v_model_id,
                CASE WHEN v_place_id IS NULL THEN greatest(p.not_before, clock_timestamp()) ELSE clock_timestamp() END, -- what is held goes by its release
                p.not_before, p.expires_at, new_uid, session_user, p.user_code, p.batch)
        RETURNING id)
    INSERT INTO content (generation, id, uid, recipients, reply_to, subject, headers, priority, calendar, unsubscribe, body_text, body_html, document, form_code,
                             model_code, attachments)
    SELECT limits.content_generation, queued.id, new_uid, p.recipients, p.reply_to, message ->> 'subject', nullif(nullif(message -> 'headers', 'null'), '{}'),
           message ->> 'priority', nullif(message -> 'calendar', 'null'), nullif(message -> 'unsubscribe', 'null'),
           message ->> 'text', message ->> 'html', message ->> 'document', message ->> 'form', message ->> 'model', cardinality(p.files)
      FROM queued
    RETURNING id, EXISTS (SELECT FROM idle_dispatcher) INTO new_id, wake_now;
    IF cardinality(p.files) > 0 THEN
        INSERT INTO attachment (generation, message_id, position, name, media_type, content_id, size, blob_id)
        SELECT limits.content_generation, new_id, f.position, f.name, f.media_type, f.content_id, f.size, coalesce(f.blob_id, stored_blob(limits.content_generation, f.bytes))
          FROM unnest(p.files) f;
    END IF;
    IF v_place_id IS NOT NULL THEN
        INSERT INTO story (generation, message_id, uid, posted_by, lease_no, event, note)
        VALUES (limits.history_generation, new_id, new_uid, session_user, 0, 'held', format('batch "%s" is held', p.batch));
    ELSIF wake_now THEN
        PERFORM wake();
    END IF;
    RETURN new_uid;
END $$;

-- Refuses many messages: the text names the first 20 problems, the DETAIL all.
CREATE FUNCTION mailroom.refuse_many(problems jsonb, messages integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    wrong integer;
    said text;
BEGIN
    SELECT count(DISTINCT p ->> 'index'), string_agg(format('messages[%s] %s: %s', p ->> 'index', p ->> 'field', p ->> 'reason'), '; ' ORDER BY (p ->> 'index')::integer, o) FILTER (WHERE o <= 20)
      INTO wrong, said FROM jsonb_array_elements((SELECT jsonb_agg(e ORDER BY (e ->> 'index')::integer) FROM jsonb_array_elements(problems) e)) WITH ORDINALITY x(p, o);
    RAISE EXCEPTION USING ERRCODE = 'MR001',
        MESSAGE = format('mailroom.enqueue_many: %s of %s messages are wrong: %s', wrong, messages, said)
               || CASE WHEN jsonb_array_length(problems) > 20 THEN format('; and %s more problems', jsonb_array_length(problems) - 20) ELSE '' END,
        DETAIL = (SELECT jsonb_agg(e ORDER BY (e ->> 'index')::integer)::text FROM jsonb_array_elements(problems) e),
        HINT = '"Fields of a message" in docs/erp.md lists what there is. None of them was enqueued.';
END $$;

-- The same defaults with each attachment that lies in them stored once and named by its reference. What is wrong with one is left for the messages.
CREATE FUNCTION mailroom.with_shared_attachments(defaults jsonb, generation smallint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    files jsonb := defaults -> 'attachments';
    one record;
BEGIN
    IF jsonb_typeof(files) IS DISTINCT FROM 'array' OR jsonb_array_length(files) > 100 THEN
        RETURN defaults;
    END IF;
    FOR i IN 0 .. jsonb_array_length(files) - 1 LOOP
        CONTINUE WHEN jsonb_typeof(files -> i -> 'content') IS DISTINCT FROM 'string';
        one := mailroom.parse_attachment('', files -> i, '{}');
        IF one.problems = '[]' THEN
            files := jsonb_set(files, ARRAY[i::text], (files -> i) - 'content' || jsonb_build_object('blob',
                mailroom.blob_reference(generation, mailroom.stored_blob(generation, (one.parsed).bytes))));
        END IF;
    END LOOP;
    RETURN defaults || jsonb_build_object('attachments', files);
END $$;

-- Enters the idempotency keys of messages: which of them were enqueued before, and by which uid each is known. In the order of the keys, so that two
-- calls with the same keys wait for one another and do not lock each other out.
CREATE FUNCTION mailroom.claim_keys(v_source smallint, defaults jsonb, messages jsonb[], fresh uuid[], OUT uids uuid[], OUT answered boolean[], OUT problems jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    numbers integer[];
    keys text[];
    digests bytea[];
BEGIN
    SELECT array_agg(given.n), array_agg(given.m ->> 'idempotency_key'), array_agg(mailroom.message_digest(defaults || given.m)) INTO numbers, keys, digests
      FROM (SELECT unnest(messages) AS m, generate_series(1, cardinality(messages)) AS n) given
     WHERE jsonb_typeof(given.m) = 'object' AND jsonb_typeof(given.m -> 'idempotency_key') = 'string'
       AND octet_length(given.m ->> 'idempotency_key') BETWEEN 1 AND 200; -- any other is refused
    INSERT INTO mailroom.idempotency (source, key, uid, digest)
    SELECT v_source, first.key, fresh[first.n], first.digest
      FROM (SELECT DISTINCT ON (g.key) g.n, g.key, g.digest FROM unnest(numbers, keys, digests) g(n, key, digest) ORDER BY g.key, g.n) first ORDER BY first.key
    ON CONFLICT DO NOTHING;
    SELECT array_agg(coalesce(i.uid, f.uid) ORDER BY f.n), array_agg(coalesce(i.uid <> f.uid AND i.digest = g.digest, false) ORDER BY f.n),
           coalesce(jsonb_agg(jsonb_build_object('index', f.n, 'field', 'idempotency_key', 'reason',
               format('"%s" was used for a message of other content, %s', g.key, i.uid)) ORDER BY f.n) FILTER (WHERE i.digest <> g.digest), '[]')
      INTO uids, answered, problems
      FROM unnest(fresh) WITH ORDINALITY f(uid, n) LEFT JOIN unnest(numbers, keys, digests) g(n, key, digest) ON g.n = f.n
           LEFT JOIN mailroom.idempotency i ON i.source = v_source AND i.key = g.key;
END $$;

-- Enqueues up to 10,000 messages at once, all or none, and returns their uids in the same order. `defaults` lie under each of them. What is wrong is
-- named by the number of the message, from 1, in the DETAIL all of it.
CREATE FUNCTION mailroom.enqueue_many(defaults jsonb, messages jsonb[]) RETURNS uuid[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp
SET plan_cache_mode = force_generic_plan -- a plan of its own copies 10,000 messages several times
SET work_mem = '64MB' AS $$
#variable_conflict use_column
DECLARE
    max_messages constant integer := 10000;
    v_source constant smallint := source_of_session();
    n constant integer := coalesce(cardinality(messages), 0);
    common jsonb := coalesce(nullif(defaults, 'null'), '{}');
    limits installation;
    blobs jsonb;
    uids uuid[];
    answered boolean[]; -- their key says that they were enqueued before
    key_problems jsonb := '[]';
    batches text[];
    has_keys boolean;
    has_files boolean;
    problems jsonb;
    any_waiting boolean;
BEGIN
    IF jsonb_typeof(common) <> 'object' OR common ? 'idempotency_key' THEN
        PERFORM refuse(problem('defaults', CASE jsonb_typeof(common) WHEN 'object' THEN 'an idempotency_key belongs to one message' ELSE 'must be a JSON object' END), 'mailroom.enqueue_many');
    ELSIF n > max_messages THEN
        PERFORM refuse(problem('messages', format('%s messages, more than %s in one call', n, max_messages)), 'mailroom.enqueue_many');
    ELSIF n = 0 THEN
        RETURN '{}';
    ELSIF array_ndims(messages) > 1 THEN
        PERFORM refuse(problem('messages', 'must be an array of one dimension'), 'mailroom.enqueue_many');
    END IF;
    SELECT * INTO STRICT limits FROM installation;
    SELECT array_agg(gen_random_uuid()), array_agg(false) INTO uids, answered FROM generate_series(1, n);
    SELECT bool_or(jsonb_typeof(m -> 'idempotency_key') = 'string'), bool_or(m ? 'attachments') OR common ? 'attachments',
           array_agg(DISTINCT m ->> 'batch') FILTER (WHERE m ->> 'batch' IS NOT NULL) || (common ->> 'batch')
      INTO has_keys, has_files, batches FROM (SELECT unnest(messages) AS m) given;
    IF has_files THEN
        common := with_shared_attachments(common, limits.content_generation);
        blobs := referenced_blobs(messages || common, limits.content_generation);
    END IF;
    IF has_keys THEN
        SELECT k.uids, k.answered, k.problems INTO uids, answered, key_problems FROM claim_keys(v_source, common, messages, uids) k;
    END IF;
    IF array_remove(batches, NULL) <> '{}' THEN
        PERFORM join_batches(batches);
    END IF;

    WITH given AS (SELECT unnest(messages) AS message, unnest(uids) AS uid, unnest(answered) AS answered, generate_series(1, n) AS n),
    parsed AS MATERIALIZED (
        SELECT given.n, given.uid, nextval('queue_id_seq') AS id, p.message, p.recipients, p.reply_to, p.files, p.size, p.lane, p.not_before, p.expires_at, p.user_code,
               p.form_code, p.model_code, p.batch, p.problems
          FROM given CROSS JOIN LATERAL parse_message(common, given.message, v_source, limits, blobs) p
         WHERE NOT given.answered OFFSET 0),
    queued AS (
        INSERT INTO queue (id, place_id, lane, source, recipients, generation, addressed, size, user_id, row_id, model_id, run_at, not_before, expires_at, uid,
                           posted_by, user_code, batch)
        OVERRIDING SYSTEM VALUE
        SELECT p.id, coalesce(h.place_id, 0), p.lane, v_source, jsonb_array_length(p.recipients), limits.content_generation,
               coalesce(btrim(coalesce(r.from_address, m.from_address)), '') <> '', p.size, u.id, r.id, m.id,
               CASE WHEN h.place_id IS NULL THEN greatest(p.not_before, clock_timestamp()) ELSE clock_timestamp() END, p.not_before, p.expires_at, p.uid,
               session_user, p.user_code, p.batch
          FROM parsed p LEFT JOIN users u ON u.code = p.user_code LEFT JOIN rows r ON r.code = btrim(p.form_code) LEFT JOIN models m ON m.code = btrim(p.model_code)
               LEFT JOIN held_batch h ON h.batch = p.batch
         WHERE p.problems = '[]'
        RETURNING id, uid, place_id, batch),
    carried AS (
        INSERT INTO content (generation, id, uid, recipients, reply_to, subject, headers, priority, calendar, unsubscribe, body_text, body_html, document, form_code,
                             model_code, attachments)
        SELECT limits.content_generation, p.id, p.uid, p.recipients, p.reply_to, p.message ->> 'subject', nullif(nullif(p.message -> 'headers', 'null'), '{}'),
               p.message ->> 'priority', nullif(p.message -> 'calendar', 'null'), nullif(p.message -> 'unsubscribe', 'null'),
               p.message ->> 'text', p.message ->> 'html', p.message ->> 'document', p.message ->> 'form', p.message ->> 'model', cardinality(p.files)
          FROM parsed p WHERE p.problems = '[]'),
    attached AS (
        INSERT INTO attachment (generation, message_id, position, name, media_type, content_id, size, blob_id)
        SELECT limits.content_generation, p.id, f.position, f.name, f.media_type, f.content_id, f.size, coalesce(f.blob_id, stored_blob(limits.content_generation, f.bytes))
          FROM parsed p, unnest(p.files) f WHERE has_files AND p.problems = '[]'),
    told AS (
        INSERT INTO story (generation, message_id, uid, posted_by, lease_no, event, note)
        SELECT limits.history_generation, q.id, q.uid, session_user, 0, 'held', format('batch "%s" is held', q.batch) FROM queued q WHERE q.place_id <> 0)
    SELECT coalesce(jsonb_agg(jsonb_build_object('index', p.n) || problem.value ORDER BY p.n) FILTER (WHERE problem.value IS NOT NULL), '[]'),
           coalesce((SELECT bool_or(q.place_id = 0) FROM queued q), false)
      INTO problems, any_waiting
      FROM parsed p LEFT JOIN rows r ON r.code = btrim(p.form_code) LEFT JOIN models m ON m.code = btrim(p.model_code)
           LEFT JOIN LATERAL jsonb_array_elements(p.problems || CASE WHEN p.form_code IS NOT NULL AND r.id IS NULL THEN unknown_code('form', p.form_code)
                                                                     WHEN p.model_code IS NOT NULL AND m.id IS NULL THEN unknown_code('model', p.model_code)
                                                                     ELSE '[]' END) problem ON true
     WHERE p.problems <> '[]' OR p.form_code IS NOT NULL AND r.id IS NULL OR p.model_code IS NOT NULL AND m.id IS NULL;
    IF problems <> '[]' OR key_problems <> '[]' THEN
        PERFORM refuse_many(problems || key_problems, n);
    END IF;
    IF any_waiting AND EXISTS (SELECT FROM idle_dispatcher) THEN
        PERFORM wake();
    END IF;
    RETURN uids;
END $$;
