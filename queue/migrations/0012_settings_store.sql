-- The settings store behind its doors: every change is recorded, whoever saves what another has changed meanwhile is told, what is shown says where
-- it comes from, and what is deleted, copied, exported or imported goes by the same checks as what is saved (docs/configuration.md).
-- Errors: MR002 a wrong setting, MR006 changed by somebody else meanwhile, MR007 mail would be held: confirm it.

CREATE SEQUENCE mailroom.settings_version_seq;

-- Of General, or of one User, Row or Model; raised by every change, and never the same again, also where a code was deleted and made anew.
ALTER TABLE mailroom.general ADD COLUMN version bigint NOT NULL DEFAULT nextval('mailroom.settings_version_seq');
ALTER TABLE mailroom.users ADD COLUMN version bigint NOT NULL DEFAULT nextval('mailroom.settings_version_seq');
ALTER TABLE mailroom.rows ADD COLUMN version bigint NOT NULL DEFAULT nextval('mailroom.settings_version_seq');
ALTER TABLE mailroom.models ADD COLUMN version bigint NOT NULL DEFAULT nextval('mailroom.settings_version_seq');

-- The server that the password was entered for: no other is shown it unless somebody means it. Blank: there was none, the first one saved is it.
ALTER TABLE mailroom.general ADD COLUMN password_server text NOT NULL DEFAULT '';
ALTER TABLE mailroom.users ADD COLUMN password_server text NOT NULL DEFAULT '';

-- Written once, never changed and never cleared away.
CREATE TABLE mailroom.settings_change (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    who       text NOT NULL DEFAULT session_user,
    door      text NOT NULL DEFAULT current_setting('application_name'), -- as the session calls itself: mailroom is the command line
    kind      text NOT NULL, -- general, user, row, model
    owner_id  integer,       -- of the User, Row or Model
    code      text NOT NULL DEFAULT '',
    version   bigint NOT NULL, -- that the change led to
    action    text NOT NULL CHECK (action IN ('made', 'changed', 'deleted')),
    setting   text NOT NULL DEFAULT '', -- '': all of it
    old_value text, -- of what was deleted: its settings as JSON
    new_value text, -- of a secret only: changed, removed
    reason    text  -- why it changed, where whoever saved did not name it
);
CREATE INDEX settings_change_of ON mailroom.settings_change (kind, code, version);

-- Around every change of one of the four tables. What changes by itself says why in mailroom.why: {"setting": "reason"}.
CREATE FUNCTION mailroom.record_settings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    secrets constant text[] := ARRAY['password', 'token'];
    silent constant text[] := ARRAY['id', 'singleton', 'code', 'version', 'mode_saved', 'password_server'];
    before constant jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after constant jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    subject constant jsonb := coalesce(after, before);
    why constant jsonb := coalesce(nullif(current_setting('mailroom.why', true), ''), '{}');
    new_version bigint;
BEGIN
    IF TG_OP = 'UPDATE' AND before - silent = after - silent THEN
        RETURN NEW;
    END IF;
    new_version := CASE TG_OP WHEN 'INSERT' THEN (after ->> 'version')::bigint ELSE nextval('settings_version_seq') END;
    IF TG_OP = 'UPDATE' THEN
        INSERT INTO settings_change (kind, owner_id, code, version, action, setting, old_value, new_value, reason)
        SELECT TG_ARGV[0], (subject ->> 'id')::integer, coalesce(subject ->> 'code', ''), new_version, 'changed',
               CASE key WHEN 'from_address' THEN 'from' ELSE key END,
               CASE WHEN key <> ALL (secrets) THEN before ->> key END,
               CASE WHEN key <> ALL (secrets) THEN value #>> '{}' WHEN jsonb_typeof(value) = 'null' THEN 'removed' ELSE 'changed' END,
               why ->> key
          FROM jsonb_each(after - silent) WHERE value IS DISTINCT FROM before -> key ORDER BY key;
        NEW.version := new_version;
        RETURN NEW;
    END IF;
    INSERT INTO settings_change (kind, owner_id, code, version, action, old_value)
    VALUES (TG_ARGV[0], (subject ->> 'id')::integer, coalesce(subject ->> 'code', ''), new_version, CASE TG_OP WHEN 'INSERT' THEN 'made' ELSE 'deleted' END,
            (before - silent - secrets)::text);
    RETURN NULL;
END $$;

CREATE TRIGGER record BEFORE UPDATE ON mailroom.general FOR EACH ROW EXECUTE FUNCTION mailroom.record_settings('general');
CREATE TRIGGER record BEFORE UPDATE ON mailroom.users FOR EACH ROW EXECUTE FUNCTION mailroom.record_settings('user');
CREATE TRIGGER record BEFORE UPDATE ON mailroom.rows FOR EACH ROW EXECUTE FUNCTION mailroom.record_settings('row');
CREATE TRIGGER record BEFORE UPDATE ON mailroom.models FOR EACH ROW EXECUTE FUNCTION mailroom.record_settings('model');
-- Afterwards: before it an INSERT ... ON CONFLICT DO NOTHING may still make none.
CREATE TRIGGER record_life AFTER INSERT OR DELETE ON mailroom.users FOR EACH ROW EXECUTE FUNCTION mailroom.record_settings('user');
CREATE TRIGGER record_life AFTER INSERT OR DELETE ON mailroom.rows FOR EACH ROW EXECUTE FUNCTION mailroom.record_settings('row');
CREATE TRIGGER record_life AFTER INSERT OR DELETE ON mailroom.models FOR EACH ROW EXECUTE FUNCTION mailroom.record_settings('model');

-- Says why the next changes of these settings happen; '{}': whoever saves has named them.
CREATE FUNCTION mailroom.because(reasons jsonb) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('mailroom.why', reasons::text, true)
$$;

-- general, user ANNA, form INVOICE, model DISPATCH: as the command line names it.
CREATE FUNCTION mailroom.named(kind text, code text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind WHEN 'general' THEN 'general' WHEN 'row' THEN 'form ' || code ELSE kind || ' ' || code END
$$;

-- What is given besides settings: the version that was read (if_version; 0: it must not be there yet) and a confirmation (confirm).
CREATE FUNCTION mailroom.only_settings(given jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN jsonb_typeof(given) = 'object' THEN given - ARRAY['if_version', 'confirm'] ELSE given END
$$;

CREATE FUNCTION mailroom.is_confirmed(given jsonb, name text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(mailroom.yes(given ->> name), false)
$$;

-- changed by ANNA at 2026-05-27 09:30:00Z: email, from
CREATE FUNCTION mailroom.saved_in_words(action text, who text, at timestamptz, settings text[]) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('%s by %s at %s%s', action, who, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"'), ': ' || nullif(array_to_string(settings, ', '), ''))
$$;

-- Refuses to go over what somebody else has saved since. `present`: the version that there is; NULL: none.
CREATE FUNCTION mailroom.check_version(of_kind text, of_code text, present bigint, given jsonb) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    told constant text := btrim(given ->> 'if_version');
    expected bigint;
    changes jsonb;
    words text;
BEGIN
    IF told IS NULL THEN
        RETURN;
    ELSIF told !~ '^[0-9]{1,18}$' THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('%s: if_version: "%s" is no version', named(of_kind, of_code), left(told, 60));
    END IF;
    expected := told;
    IF expected = coalesce(present, 0) THEN
        RETURN;
    END IF;
    SELECT jsonb_agg(jsonb_build_object('who', who, 'at', at, 'action', action, 'settings', settings) ORDER BY version),
           string_agg(saved_in_words(action, who, at, settings), '; ' ORDER BY version)
      INTO changes, words
      FROM (SELECT c.version, c.who, min(c.at) AS at, c.action, array_agg(c.setting ORDER BY c.setting) FILTER (WHERE c.setting <> '') AS settings
              FROM settings_change c WHERE c.kind = of_kind AND c.code = of_code AND c.version > expected
               AND (present IS NOT NULL OR c.xmin <> pg_current_xact_id()::xid) -- not what this saving has just made
             GROUP BY c.version, c.who, c.action) AS saved;
    RAISE EXCEPTION USING ERRCODE = 'MR006',
        MESSAGE = format('%s: %s (version %s now, not %s)%s', named(of_kind, of_code),
                         CASE WHEN present IS NULL THEN 'is not there' WHEN expected = 0 THEN 'is there already' ELSE 'was changed since you read it' END,
                         coalesce(present, 0), expected, ': ' || words),
        DETAIL = coalesce(changes, '[]')::text, HINT = 'Nothing was saved. Read the settings again, then save.';
END $$;

CREATE FUNCTION mailroom.messages(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT number || CASE number WHEN 1 THEN ' message' ELSE ' messages' END
$$;

-- Live messages by what decides who sends them.
CREATE VIEW mailroom.waiting AS
SELECT q.uid, q.source, q.user_id, q.user_code, q.row_id, q.model_id, q.addressed, mailroom.category(q.source, q.row_id, q.model_id, q.addressed) AS category
  FROM mailroom.queue q WHERE q.place_id <> 2 AND NOT q.cancelled;

CREATE FUNCTION mailroom.waiting_facts() RETURNS TABLE (source smallint, user_id integer, user_code text, row_id integer, model_id integer, addressed boolean, messages bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT w.source, w.user_id, coalesce(btrim(w.user_code), ''), w.row_id, w.model_id, w.addressed, count(*) FROM waiting w GROUP BY 1, 2, 3, 4, 5, 6
$$;

-- A User's account, as config and rules have it: what is malformed ends the chain of defaults.
CREATE FUNCTION mailroom.account_of(u mailroom.users, edition text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN btrim(u.account) <> '' THEN btrim(u.account)
                WHEN btrim(u.email) <> '' THEN CASE WHEN mailroom.address_problem(btrim(u.email)) IS NULL THEN btrim(u.email) ELSE '' END
                WHEN edition = 'cloud' AND mailroom.address_problem(u.code) IS NULL THEN u.code
                ELSE '' END
$$;

-- The server that users inherit: of one group, never mixed.
CREATE FUNCTION mailroom.inherited_server(g mailroom.general) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(nullif(btrim(g.user_server), ''), btrim(g.server))
$$;

CREATE FUNCTION mailroom.inherits_server(u mailroom.users) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT u.mode = 'same_as_general' OR btrim(u.server) = ''
$$;

-- The server that a User's password is shown to, now or once their mode is smtp.
CREATE FUNCTION mailroom.server_of(u mailroom.users, g mailroom.general) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN mailroom.inherits_server(u) THEN mailroom.inherited_server(g) ELSE btrim(u.server) END
$$;

-- Of those that were entered before this was kept.
UPDATE mailroom.general SET password_server = btrim(server) WHERE password IS NOT NULL;
UPDATE mailroom.users u SET password_server = mailroom.server_of(u, g) FROM mailroom.general g WHERE u.password IS NOT NULL;

-- Whether a password that was entered for one server would be shown to another.
CREATE FUNCTION mailroom.is_for_another(password_server text, server text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT password_server <> '' AND server NOT IN ('', password_server)
$$;

-- How many passwords of users who inherit their server were not entered for the one that it is now.
CREATE FUNCTION mailroom.passwords_not_for(g mailroom.general) RETURNS bigint LANGUAGE sql STABLE SET search_path = mailroom, pg_temp AS $$
    SELECT count(*) FROM users u WHERE u.password IS NOT NULL AND inherits_server(u) AND inherited_server(g) NOT IN ('', u.password_server)
$$;

-- Whoever saved General has meant it: from now on these passwords are for the server that users inherit now.
CREATE FUNCTION mailroom.bind_inherited_passwords() RETURNS void LANGUAGE sql SET search_path = mailroom, pg_temp AS $$
    UPDATE users u SET password_server = inherited_server(g) FROM general g
     WHERE u.password IS NOT NULL AND inherits_server(u) AND inherited_server(g) NOT IN ('', u.password_server)
$$;

CREATE FUNCTION mailroom.mode_of(u mailroom.users, g mailroom.general) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE u.mode WHEN 'same_as_general' THEN mailroom.default_user_mode(g) ELSE u.mode END
$$;

-- As addresses and names of servers are compared: lower() would change other letters as well, where the locale knows them.
CREATE FUNCTION mailroom.ascii_lower(value text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT translate(value, 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')
$$;

-- What General's account must be allowed to send as by its server.
CREATE FUNCTION mailroom.general_sends_as() RETURNS TABLE (address text, kind text, code text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT address_of(g.from_address), 'general', '' FROM general g
     WHERE g.from_address <> '' AND ascii_lower(address_of(g.from_address)) <> ascii_lower(btrim(g.account))
    UNION ALL SELECT address_of(r.from_address), 'row', r.code FROM rows r WHERE r.mode = 'general' AND r.from_address <> ''
    UNION ALL SELECT address_of(m.from_address), 'model', m.code FROM models m WHERE m.mode = 'general' AND m.from_address <> ''
    ORDER BY 1, 2, 3
$$;

CREATE FUNCTION mailroom.server_advice(who text, host text, port integer, use_ssl boolean, login boolean) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT who || ': ' || advice FROM (VALUES
        (port = 465 AND NOT use_ssl, 'port 465 is meant for TLS; without "Use SSL Encoding" nothing is encrypted'),
        (login AND host ~* '^(smtp\.office365\.com|(.*\.)?outlook\.com)\.?$',
         format('"%s" is Office 365: it ends logins by password (Basic authentication) by default at the end of December 2026; prefer the mode office365', host))) said (is_so, advice)
     WHERE is_so)
$$;

-- What a message by General's account, or by this User's, would be held for. Labels of the screens.
CREATE FUNCTION mailroom.general_lacks(g mailroom.general) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT label FROM (VALUES
        (g.mode = 'smtp' AND g.server = '', 'Server Name'),
        (g.mode = 'smtp' AND g.login AND g.account = '', 'User'),
        (g.mode = 'office365' AND g.account = '', 'Email'),
        (g.mode = 'smtp' AND g.login AND g.password IS NULL, 'Password'),
        (g.mode = 'smtp' AND (g.account <> '' OR NOT g.login) AND g.from_address = '' AND mailroom.address_problem(btrim(g.account)) IS NOT NULL, '"From" Address (of MOBILE)'),
        (g.mode <> 'smtp' AND mailroom.default_user_mode(g) = 'smtp' AND mailroom.inherited_server(g) = '', 'Server Name (server for users)')) field (is_missing, label)
     WHERE is_missing)
$$;

CREATE FUNCTION mailroom.user_lacks(u mailroom.users, g mailroom.general) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path = mailroom, pg_temp AS $$
DECLARE
    mode constant text := mode_of(u, g);
    inherits constant boolean := u.mode = 'same_as_general';
    logs_in constant boolean := CASE WHEN NOT inherits THEN u.login WHEN g.user_server <> '' THEN g.user_login ELSE g.login END;
    account constant text := account_of(u, g.edition);
    has_from constant boolean := u.from_address <> '' OR address_problem(account) IS NULL OR address_problem(btrim(u.email)) IS NULL;
BEGIN
    RETURN ARRAY(SELECT label FROM (VALUES
        (mode = 'smtp' AND inherits AND inherited_server(g) = '', 'Server Name of general'),
        (mode = 'smtp' AND NOT inherits AND u.server = '', 'Server Name'),
        (mode = 'smtp' AND logs_in AND account = '', 'User'),
        (mode = 'office365' AND account = '', 'Email'),
        (mode = 'smtp' AND logs_in AND u.password IS NULL, 'Password'),
        (mode = 'smtp' AND NOT has_from, '"From" Address')) field (is_missing, label)
     WHERE is_missing AND u.enabled);
END $$;

-- A Row or Model without an address lacks nothing: its mail is the posting user's.
CREATE FUNCTION mailroom.document_lacks(mode text, from_address text, g mailroom.general) RETURNS text[] LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN btrim(from_address) = '' THEN '{}'
                WHEN mode = 'not_configured' THEN ARRAY['Mailing Mode']
                WHEN mode = 'general' AND g.mode = 'not_configured' THEN ARRAY['Mailing Mode of general']
                ELSE '{}' END
$$;

-- What a change to the cloud edition would leave without effect: every desktop value, and the messages that would be held.
CREATE FUNCTION mailroom.cloud_obstacles() RETURNS TABLE (kind text, code text, setting text, value text, messages bigint, uids text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    WITH named AS (
        SELECT 'user' AS kind, u.code, 'mode' AS setting, u.mode AS value, w.uid
          FROM users u LEFT JOIN waiting w ON w.category = 'standard' AND (w.user_id = u.id OR w.user_id IS NULL AND btrim(w.user_code) = u.code)
         WHERE u.mode IN ('outlook', 'other_client')
        UNION ALL
        SELECT 'general', '', 'default_user_mode', coalesce(g.default_user_mode, ''), w.uid
          FROM general g LEFT JOIN (SELECT w.uid FROM waiting w JOIN users u ON w.user_id = u.id OR w.user_id IS NULL AND btrim(w.user_code) = u.code
                                     WHERE w.category = 'standard' AND u.mode = 'same_as_general') w ON true
         WHERE coalesce(g.default_user_mode, 'outlook') IN ('outlook', 'other_client') AND (g.default_user_mode IS NOT NULL OR w.uid IS NOT NULL)
        UNION ALL
        SELECT 'row', r.code, 'mode', r.mode, w.uid FROM rows r LEFT JOIN waiting w ON w.category = 'mass' AND w.row_id = r.id WHERE r.mode = 'outlook'
        UNION ALL
        SELECT 'model', m.code, 'mode', m.mode, w.uid FROM models m LEFT JOIN waiting w ON w.category = 'dispatch' AND w.model_id = m.id WHERE m.mode = 'outlook')
    SELECT n.kind, n.code, n.setting, n.value, count(n.uid), coalesce(array_agg(n.uid::text) FILTER (WHERE n.uid IS NOT NULL), '{}')
      FROM named n GROUP BY 1, 2, 3, 4 ORDER BY n.kind, n.code
$$;

-- The same for people, a line each: of the messages the first ones.
CREATE FUNCTION mailroom.cloud_losses() RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT coalesce(array_agg(format('%s: %s %s: %s would be held%s', named(o.kind, o.code), o.setting, coalesce(nullif(o.value, ''), 'was outlook by default'), messages(o.messages),
                                     ': ' || nullif(array_to_string(o.uids[:20], ', ') || CASE WHEN o.messages > 20 THEN ' ... (all of them: mailroom.cloud_obstacles())' ELSE '' END, ''))), '{}')
      FROM cloud_obstacles() o
$$;

-- For who makes it cloud and means it, or only tries: what was confirmed.
CREATE FUNCTION mailroom.cloud_advice(edition_before text) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT CASE WHEN edition_before <> 'cloud' AND g.edition = 'cloud' THEN cloud_losses() ELSE '{}' END FROM general g
$$;

CREATE FUNCTION mailroom.passwords(number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT number || CASE number WHEN 1 THEN ' password' ELSE ' passwords' END
$$;

-- Refuses what must be meant, all of it at once: passwords shown to a server for which they were not entered, desktop modes that a change to the
-- cloud edition leaves without effect. `before`: General before it was saved.
CREATE FUNCTION mailroom.check_meant(before mailroom.general) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    present general;
    shown bigint;
    obstacles jsonb;
    words text[] := '{}';
BEGIN
    SELECT * INTO STRICT present FROM general;
    shown := passwords_not_for(present);
    IF shown > 0 THEN
        words := words || format('general: %s of users who inherit the server would be shown to "%s"', passwords(shown), inherited_server(present));
    END IF;
    IF present.edition = 'cloud' AND before.edition <> 'cloud' THEN
        SELECT jsonb_agg(to_jsonb(o) || jsonb_build_object('uids', o.uids[:1000])) INTO obstacles FROM cloud_obstacles() o; -- ours: an error is no place for more
        words := words || (E'general.edition: the cloud edition has no desktop modes; these stay stored and have no effect:\n' || nullif(array_to_string(cloud_losses(), E'\n'), ''));
    END IF;
    IF cardinality(array_remove(words, NULL)) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'MR007', MESSAGE = array_to_string(words, E'\n'), DETAIL = coalesce(obstacles, jsonb_build_object('passwords', shown))::text,
            HINT = 'Nothing was saved. Save with "confirm": true if this is meant.';
    END IF;
END $$;

-- General, without waking anybody: save_general and import_settings do that.
CREATE FUNCTION mailroom.put_general(settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    given constant jsonb := checked_settings('general', only_settings(settings));
    old general;
    new general;
    one users;
    why jsonb := '{}';
    advice text[] := '{}';
    lacks text[];
    shown bigint;
    addresses text;
BEGIN
    SELECT * INTO STRICT old FROM general FOR UPDATE;
    PERFORM check_version('general', '', old.version, settings);
    new := jsonb_populate_record(old, given);
    new.mode_saved := old.mode_saved OR given ? 'mode';
    IF given ->> 'default_user_mode' = 'smtp' AND NOT new.mode_saved THEN
        new.mode := 'smtp';
        new.mode_saved := true;
        why := why || '{"mode": "default_user_mode was saved as smtp, and mode never was"}';
    END IF;
    IF new.password IS NOT NULL AND (new.account IS DISTINCT FROM old.account OR is_for_another(old.password_server, new.server)) THEN
        new.password := NULL;
        why := why || '{"password": "it belonged to another account or server"}';
        advice := advice || 'general: the password belonged to another account or server and was removed; enter it again'::text;
    END IF;
    advice := advice || server_advice('general', CASE WHEN new.mode = 'smtp' OR new.user_server = '' AND default_user_mode(new) = 'smtp' THEN new.server ELSE '' END, new.port, new.use_ssl, new.login)
                     || server_advice('general, the server for users', new.user_server, new.user_port, new.user_use_ssl, new.user_login);
    shown := passwords_not_for(new);
    IF shown > 0 THEN
        advice := advice || format('general: %s of users who inherit the server will be shown to "%s"', passwords(shown), inherited_server(new));
    END IF;
    PERFORM because(why);
    -- In place: whoever waits for the row must find it again.
    UPDATE general SET edition = new.edition, default_user_mode = new.default_user_mode, mode = new.mode, mode_saved = new.mode_saved,
           account = new.account, from_address = new.from_address, server = new.server, port = new.port, use_ssl = new.use_ssl, login = new.login,
           allow_cleartext = new.allow_cleartext, user_server = new.user_server, user_port = new.user_port, user_use_ssl = new.user_use_ssl,
           user_login = new.user_login, user_allow_cleartext = new.user_allow_cleartext, send_as = new.send_as, password = new.password,
           password_server = coalesce(nullif(new.server, ''), old.password_server);
    IF new.edition IS DISTINCT FROM old.edition THEN -- by which a code may become an account, or be none any more
        PERFORM because('{"password": "it belonged to another account: the edition was changed"}');
        FOR one IN UPDATE users u SET password = NULL WHERE u.password IS NOT NULL AND account_of(u, new.edition) <> account_of(u, old.edition) RETURNING u.* LOOP
            advice := advice || format('user %s: the password belonged to another account and was removed; enter it again', one.code);
        END LOOP;
    END IF;
    PERFORM because('{}');
    IF NOT is_confirmed(settings, 'confirm') THEN
        PERFORM check_meant(old);
    END IF;
    lacks := CASE WHEN why ? 'password' THEN array_remove(general_lacks(new), 'Password') ELSE general_lacks(new) END;
    IF cardinality(lacks) > 0 THEN
        advice := advice || format('general: still missing: %s', array_to_string(lacks, ', '));
    END IF;
    IF new.mode IN ('smtp', 'office365') AND (old.mode, old.account, old.from_address) IS DISTINCT FROM (new.mode, new.account, new.from_address) THEN
        SELECT string_agg(format('%s (%s)', s.address, named(s.kind, s.code)), ', ') INTO addresses FROM general_sends_as() s
         WHERE s.kind <> 'general' OR address_problem(btrim(new.account)) IS NULL;
        IF addresses IS NOT NULL THEN
            advice := advice || format('general: its account must be allowed to send as %s; use an account whose password seldom changes', addresses);
        END IF;
    END IF;
    RETURN advice;
END $$;

CREATE FUNCTION mailroom.put_user(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_code constant text := checked_code('user', code);
    given constant jsonb := checked_settings('user', only_settings(settings));
    shared general;
    old users;
    new users;
    made integer;
    serving text;
    why jsonb := '{}';
    advice text[] := '{}';
    lacks text[];
BEGIN
    SELECT * INTO STRICT shared FROM general FOR SHARE; -- first, as all who lock both: nobody changes the inherited server meanwhile
    INSERT INTO users (code) VALUES (own_code) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    SELECT * INTO STRICT old FROM users u WHERE u.code = own_code FOR UPDATE;
    PERFORM check_version('user', own_code, CASE WHEN made = 0 THEN old.version END, settings);
    new := jsonb_populate_record(old, given);
    IF given ->> 'mode' = 'smtp' AND new.server = '' THEN -- from now on the user's own
        IF shared.user_server <> '' THEN
            new.server := shared.user_server; new.port := shared.user_port; new.use_ssl := shared.user_use_ssl;
            new.login := shared.user_login; new.allow_cleartext := shared.user_allow_cleartext;
        ELSE
            new.server := shared.server; new.port := shared.port; new.use_ssl := shared.use_ssl;
            new.login := shared.login; new.allow_cleartext := shared.allow_cleartext;
        END IF;
        why := why || (SELECT jsonb_object_agg(name, 'mode was saved as smtp without a server: the inherited one became the user''s own')
                         FROM unnest(ARRAY['server', 'port', 'use_ssl', 'login', 'allow_cleartext']) name);
    END IF;
    serving := server_of(new, shared);
    -- Where only the inherited server is another one, that is for whoever saves General to mean (check_meant).
    IF new.password IS NOT NULL AND (new.account IS DISTINCT FROM old.account OR account_of(new, shared.edition) <> account_of(old, shared.edition)
            OR new.server <> old.server AND is_for_another(old.password_server, new.server)
            OR serving <> server_of(old, shared) AND is_for_another(old.password_server, serving)) THEN
        new.password := NULL;
        why := why || '{"password": "it belonged to another account or server"}';
        advice := advice || format('user %s: the password belonged to another account or server and was removed; enter it again', own_code);
    END IF;
    advice := advice || server_advice('user ' || own_code, CASE WHEN new.mode = 'smtp' THEN new.server ELSE '' END, new.port, new.use_ssl, new.login);
    PERFORM because(why);
    UPDATE users SET name = new.name, enabled = new.enabled, email = new.email, mode = new.mode, account = new.account,
           from_address = new.from_address, server = new.server, port = new.port, use_ssl = new.use_ssl, login = new.login,
           allow_cleartext = new.allow_cleartext, send_as = new.send_as, password = new.password,
           password_server = CASE WHEN inherits_server(new) THEN old.password_server ELSE serving END
     WHERE id = old.id;
    PERFORM because('{}');
    lacks := CASE WHEN why ? 'password' THEN array_remove(user_lacks(new, shared), 'Password') ELSE user_lacks(new, shared) END;
    IF cardinality(lacks) > 0 THEN
        advice := advice || format('user %s: still missing: %s', own_code, array_to_string(lacks, ', '));
    END IF;
    RETURN advice;
END $$;

-- The users whose desktop has not told of a classic Outlook with this account of its own: all of them where no desktop told anything.
CREATE FUNCTION mailroom.users_without_outlook_account(address text) RETURNS SETOF text LANGUAGE plpgsql STABLE SET search_path = mailroom, pg_temp AS $$
DECLARE
    upper constant text := 'ABCDEFGHIJKLMNOPQRSTUVWXYZ';
    lower constant text := 'abcdefghijklmnopqrstuvwxyz';
BEGIN
    RETURN QUERY SELECT u.code FROM users u WHERE u.enabled AND NOT EXISTS (
        SELECT FROM desktop_agent d, jsonb_array_elements(d.accounts) told (one)
         WHERE d.user_id = u.id AND d.outlook = 'classic' AND NOT coalesce(mailroom.yes(told.one ->> 'linked'), false)
           AND translate(btrim(told.one ->> 'address'), upper, lower) = translate(address, upper, lower)) ORDER BY u.code;
END $$;

-- What the person who saved a Row or Model should know.
CREATE FUNCTION mailroom.document_advice(who text, mode text, from_address text) RETURNS text[] LANGUAGE plpgsql STABLE SET search_path = mailroom, pg_temp AS $$
DECLARE
    told constant integer := 20; -- ours: a line that people read
    address constant text := address_of(from_address);
    shared general;
    lacks text[];
    without text[];
BEGIN
    SELECT * INTO STRICT shared FROM general;
    lacks := document_lacks(mode, from_address, shared);
    IF cardinality(lacks) > 0 THEN
        RETURN ARRAY[format('%s: still missing: %s', who, array_to_string(lacks, ', '))];
    ELSIF mode <> 'outlook' OR btrim(from_address) = '' THEN
        RETURN '{}';
    END IF;
    without := ARRAY(SELECT users_without_outlook_account(address));
    RETURN ARRAY[format('%s: everyone who sends this kind needs the account %s in their own classic Outlook%s', who, address,
                        '; not reported yet by ' || nullif(array_to_string(without[:told], ', '), '')
                        || CASE WHEN cardinality(without) > told THEN format(' and %s other users', cardinality(without) - told) ELSE '' END)];
END $$;

CREATE FUNCTION mailroom.put_row(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_code constant text := checked_code('row', code);
    given constant jsonb := checked_settings('row', only_settings(settings));
    old rows;
    new rows;
    made integer;
BEGIN
    INSERT INTO rows (code) VALUES (own_code) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    SELECT * INTO STRICT old FROM rows r WHERE r.code = own_code FOR UPDATE;
    PERFORM check_version('row', own_code, CASE WHEN made = 0 THEN old.version END, settings);
    new := jsonb_populate_record(old, given);
    UPDATE rows SET kind = new.kind, name = new.name, from_address = new.from_address, mode = new.mode WHERE id = new.id;
    RETURN document_advice('form ' || own_code, new.mode, new.from_address);
END $$;

CREATE FUNCTION mailroom.put_model(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_code constant text := checked_code('model', code);
    given constant jsonb := checked_settings('model', only_settings(settings));
    old models;
    new models;
    made integer;
BEGIN
    INSERT INTO models (code) VALUES (own_code) ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    SELECT * INTO STRICT old FROM models m WHERE m.code = own_code FOR UPDATE;
    PERFORM check_version('model', own_code, CASE WHEN made = 0 THEN old.version END, settings);
    new := jsonb_populate_record(old, given);
    UPDATE models SET name = new.name, from_address = new.from_address, mode = new.mode WHERE id = new.id;
    RETURN document_advice('model ' || own_code, new.mode, new.from_address);
END $$;

-- The doors. Each returns what the person who saved should know, a line each. Besides settings they take "if_version", the version that was read, and
-- save_general "confirm".
CREATE OR REPLACE FUNCTION mailroom.save_general(settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    edition_before constant text := g.edition FROM general g;
    advice constant text[] := put_general(settings);
BEGIN
    PERFORM bind_inherited_passwords();
    PERFORM settings_changed(NULL); -- users inherit from General
    RETURN advice || cloud_advice(edition_before);
END $$;

CREATE OR REPLACE FUNCTION mailroom.save_user(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    advice constant text[] := put_user(code, settings);
BEGIN
    PERFORM settings_changed(ARRAY['user:' || u.id, 'user-code:' || u.code]) FROM users u WHERE u.code = btrim(save_user.code);
    RETURN advice;
END $$;

CREATE OR REPLACE FUNCTION mailroom.save_row(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    advice constant text[] := put_row(code, settings);
BEGIN
    PERFORM settings_changed(ARRAY['row:' || r.id]) FROM rows r WHERE r.code = btrim(save_row.code);
    RETURN advice;
END $$;

CREATE OR REPLACE FUNCTION mailroom.save_model(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    advice constant text[] := put_model(code, settings);
BEGIN
    PERFORM settings_changed(ARRAY['model:' || m.id]) FROM models m WHERE m.code = btrim(save_model.code);
    RETURN advice;
END $$;

-- Deletes a User, Row or Model. What waits for it would be held, so this is refused, with how many, unless options has "hold": true. Also "if_version".
CREATE FUNCTION mailroom.delete_owner(of_kind text, of_code text, options jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    own_code constant text := checked_code(of_kind, of_code);
    found_id integer;
    found_version bigint;
    waits bigint;
    reason constant text := CASE of_kind WHEN 'user' THEN 'no_user' ELSE 'address_removed' END;
BEGIN
    CASE of_kind
        WHEN 'user' THEN SELECT u.id, u.version INTO found_id, found_version FROM users u WHERE u.code = own_code FOR UPDATE;
        WHEN 'row' THEN SELECT r.id, r.version INTO found_id, found_version FROM rows r WHERE r.code = own_code FOR UPDATE;
        ELSE SELECT m.id, m.version INTO found_id, found_version FROM models m WHERE m.code = own_code FOR UPDATE;
    END CASE;
    PERFORM check_version(of_kind, own_code, found_version, options);
    IF found_id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no %s', regexp_replace(named(of_kind, own_code), '^(\w+) (.*)$', '\1 "\2"'));
    END IF;
    SELECT count(*) INTO waits FROM waiting w
     WHERE CASE of_kind WHEN 'row' THEN w.category = 'mass' AND w.row_id = found_id
                        WHEN 'model' THEN w.category = 'dispatch' AND w.model_id = found_id
                        ELSE w.user_id = found_id AND (w.category = 'standard'
                             OR w.category = 'mass' AND EXISTS (SELECT FROM rows r WHERE r.id = w.row_id AND r.mode = 'outlook')
                             OR w.category = 'dispatch' AND EXISTS (SELECT FROM models m WHERE m.id = w.model_id AND m.mode = 'outlook')) END;
    IF waits > 0 AND NOT is_confirmed(options, 'hold') THEN
        RAISE EXCEPTION USING ERRCODE = 'MR007', DETAIL = jsonb_build_object('messages', waits)::text,
            MESSAGE = format('%s: needed by %s in the queue: nothing was deleted', named(of_kind, own_code), messages(waits)),
            HINT = format('Delete with "hold": true if they are to be held (%s).', reason);
    END IF;
    CASE of_kind
        WHEN 'user' THEN DELETE FROM users u WHERE u.id = found_id;
        WHEN 'row' THEN DELETE FROM rows r WHERE r.id = found_id;
        ELSE DELETE FROM models m WHERE m.id = found_id;
    END CASE;
    PERFORM settings_changed(CASE of_kind WHEN 'user' THEN ARRAY['user:' || found_id, 'user-code:' || own_code] ELSE ARRAY[of_kind || ':' || found_id] END);
    RETURN CASE WHEN waits > 0 THEN ARRAY[format('%s: %s in the queue will be held (%s)', named(of_kind, own_code), messages(waits), reason)] ELSE '{}' END;
END $$;

CREATE FUNCTION mailroom.delete_user(code text, options jsonb DEFAULT '{}') RETURNS text[] LANGUAGE sql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT delete_owner('user', code, options)
$$;
CREATE FUNCTION mailroom.delete_row(code text, options jsonb DEFAULT '{}') RETURNS text[] LANGUAGE sql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT delete_owner('row', code, options)
$$;
CREATE FUNCTION mailroom.delete_model(code text, options jsonb DEFAULT '{}') RETURNS text[] LANGUAGE sql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT delete_owner('model', code, options)
$$;

-- All settings but secrets, in the format that docs/configuration.md describes. What was never saved is left out. The version of all of them is the
-- number of changes so far: whoever commits late raises it too, which cannot be said of the newest change's number.
CREATE FUNCTION mailroom.export_settings() RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT jsonb_build_object(
        'format', 'mailroom settings 1',
        'version', (SELECT count(*) FROM settings_change),
        'general', (SELECT jsonb_strip_nulls(to_jsonb(g) - ARRAY['singleton', 'mode_saved', 'version', 'password', 'password_server', 'token', 'from_address', 'mode']
                                             || jsonb_build_object('from', g.from_address, 'mode', CASE WHEN g.mode_saved THEN g.mode END, 'has_password', g.password IS NOT NULL,
                                                                   'has_token', to_jsonb(g) -> 'token' IS DISTINCT FROM 'null' AND to_jsonb(g) ? 'token')) FROM general g),
        'users', coalesce((SELECT jsonb_agg(to_jsonb(u) - ARRAY['id', 'version', 'password', 'password_server', 'token', 'from_address']
                                            || jsonb_build_object('from', u.from_address, 'has_password', u.password IS NOT NULL,
                                                                  'has_token', to_jsonb(u) -> 'token' IS DISTINCT FROM 'null' AND to_jsonb(u) ? 'token') ORDER BY u.code) FROM users u), '[]'),
        'rows', coalesce((SELECT jsonb_agg(to_jsonb(r) - ARRAY['id', 'version', 'from_address'] || jsonb_build_object('from', r.from_address) ORDER BY r.code) FROM rows r), '[]'),
        'models', coalesce((SELECT jsonb_agg(to_jsonb(m) - ARRAY['id', 'version', 'from_address'] || jsonb_build_object('from', m.from_address) ORDER BY m.code) FROM models m), '[]'))
$$;

-- A new User with the settings of another, and these of their own. No secret comes along.
CREATE FUNCTION mailroom.copy_user(from_code text, to_code text, settings jsonb DEFAULT '{}') RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    own_code constant text := checked_code('user', to_code);
    source users;
    copied jsonb;
    advice text[];
    account text;
BEGIN
    PERFORM FROM general FOR SHARE; -- before any user, as all who lock both
    SELECT * INTO source FROM users u WHERE u.code = btrim(from_code) FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no user "%s"', from_code);
    ELSIF EXISTS (SELECT FROM users u WHERE u.code = own_code) THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is a user "%s" already', own_code);
    END IF;
    SELECT u.one - ARRAY['code', 'has_password', 'has_token'] INTO STRICT copied FROM jsonb_array_elements(export_settings() -> 'users') u (one) WHERE u.one ->> 'code' = source.code;
    advice := save_user(own_code, copied || only_settings(settings) || '{"if_version": 0}');
    SELECT account_of(u, g.edition) INTO account FROM users u, general g WHERE u.code = own_code AND account_of(u, g.edition) = account_of(source, g.edition);
    IF account <> '' THEN
        advice := advice || format('user %s: has the account %s of user %s: save an e-mail, an account and a From of their own', own_code, account, source.code);
    END IF;
    RETURN advice;
END $$;

-- Each setting with the value that is in effect. is_stored: it is what was saved; otherwise origin says where it comes from, and own what is stored
-- there without effect. Of secrets whether there is one.
CREATE FUNCTION mailroom.settings_of(of_kind text, of_code text) RETURNS TABLE (setting text, value jsonb, is_stored boolean, origin text, own jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    g general;
    u users;
    r rows;
    m models;
    users_group boolean; -- users have a server of their own in General
    inherits boolean;
    shared text;
    account text;
    address text;
BEGIN
    SELECT * INTO STRICT g FROM general;
    users_group := btrim(g.user_server) <> '';
    shared := CASE WHEN users_group THEN 'general.user_' ELSE 'general.' END;
    IF of_kind = 'general' THEN
        RETURN QUERY SELECT s.* FROM (VALUES
            ('edition', to_jsonb(g.edition), g.edition <> 'on_premise', 'default', NULL::jsonb),
            ('default_user_mode', to_jsonb(default_user_mode(g)), g.default_user_mode IS NOT NULL, format('default of the edition %s', g.edition), NULL),
            ('mode', to_jsonb(g.mode), g.mode_saved, 'default', NULL),
            ('account', to_jsonb(g.account), g.account <> '', 'default', NULL),
            ('from', to_jsonb(CASE WHEN g.from_address <> '' THEN g.from_address WHEN address_problem(g.account) IS NULL THEN g.account ELSE '' END), g.from_address <> '',
             CASE WHEN address_problem(g.account) IS NULL THEN 'general.account' ELSE 'default' END, NULL),
            ('server', to_jsonb(g.server), g.server <> '', 'default', NULL),
            ('port', to_jsonb(g.port), g.port <> 587, 'default', NULL),
            ('use_ssl', to_jsonb(g.use_ssl), NOT g.use_ssl, 'default', NULL),
            ('login', to_jsonb(g.login), NOT g.login, 'default', NULL),
            ('allow_cleartext', to_jsonb(g.allow_cleartext), g.allow_cleartext, 'default', NULL),
            ('user_server', to_jsonb(inherited_server(g)), users_group, 'general.server', NULL),
            ('user_port', to_jsonb(CASE WHEN users_group THEN g.user_port ELSE g.port END), users_group, 'general.port', nullif(to_jsonb(g.user_port), '587')),
            ('user_use_ssl', to_jsonb(CASE WHEN users_group THEN g.user_use_ssl ELSE g.use_ssl END), users_group, 'general.use_ssl', nullif(to_jsonb(g.user_use_ssl), 'true')),
            ('user_login', to_jsonb(CASE WHEN users_group THEN g.user_login ELSE g.login END), users_group, 'general.login', nullif(to_jsonb(g.user_login), 'true')),
            ('user_allow_cleartext', to_jsonb(CASE WHEN users_group THEN g.user_allow_cleartext ELSE g.allow_cleartext END), users_group, 'general.allow_cleartext',
             nullif(to_jsonb(g.user_allow_cleartext), 'false')),
            ('send_as', to_jsonb(g.send_as), g.send_as, 'default', NULL),
            ('has_password', to_jsonb(g.password IS NOT NULL), true, '', NULL),
            ('has_token', to_jsonb(to_jsonb(g) ? 'token' AND to_jsonb(g) -> 'token' <> 'null'), true, '', NULL)) s;
    ELSIF of_kind = 'user' THEN
        SELECT * INTO u FROM users x WHERE x.code = btrim(of_code);
        IF NOT FOUND THEN
            RETURN;
        END IF;
        account := account_of(u, g.edition);
        address := CASE WHEN address_problem(account) IS NULL THEN account WHEN address_problem(btrim(u.email)) IS NULL THEN btrim(u.email) ELSE '' END;
        inherits := u.mode = 'same_as_general' OR u.mode <> 'smtp' AND btrim(u.server) = '';
        RETURN QUERY SELECT s.* FROM (VALUES
            ('name', to_jsonb(u.name), u.name <> '', 'default', NULL::jsonb),
            ('enabled', to_jsonb(u.enabled), NOT u.enabled, 'default', NULL),
            ('email', to_jsonb(u.email), u.email <> '', 'default', NULL),
            ('mode', to_jsonb(u.mode), u.mode <> 'same_as_general', 'default', NULL),
            ('effective_mode', to_jsonb(mode_of(u, g)), false, CASE WHEN u.mode <> 'same_as_general' THEN 'user.mode' WHEN g.default_user_mode IS NOT NULL THEN 'general.default_user_mode'
                                                               ELSE format('general.default_user_mode: default of the edition %s', g.edition) END, NULL),
            ('account', to_jsonb(account), btrim(u.account) <> '',
             CASE WHEN btrim(u.email) <> '' AND account = '' THEN 'user.email: not an e-mail address' WHEN btrim(u.email) <> '' THEN 'user.email' WHEN account <> '' THEN 'user.code' ELSE 'default' END, NULL),
            ('from', to_jsonb(CASE WHEN u.from_address <> '' THEN u.from_address ELSE address END), u.from_address <> '',
             CASE WHEN address = '' THEN 'default' WHEN address = account THEN 'user.account' ELSE 'user.email' END, NULL),
            ('server', to_jsonb(CASE WHEN inherits THEN inherited_server(g) ELSE u.server END), NOT inherits AND u.server <> '',
             CASE WHEN inherits THEN shared || 'server' ELSE 'default' END, CASE WHEN inherits THEN nullif(to_jsonb(u.server), '""') END),
            ('port', to_jsonb(CASE WHEN NOT inherits THEN u.port WHEN users_group THEN g.user_port ELSE g.port END), NOT inherits AND u.server <> '',
             CASE WHEN inherits THEN shared || 'port' ELSE 'default' END, CASE WHEN inherits AND u.server <> '' THEN to_jsonb(u.port) END),
            ('use_ssl', to_jsonb(CASE WHEN NOT inherits THEN u.use_ssl WHEN users_group THEN g.user_use_ssl ELSE g.use_ssl END), NOT inherits AND u.server <> '',
             CASE WHEN inherits THEN shared || 'use_ssl' ELSE 'default' END, CASE WHEN inherits AND u.server <> '' THEN to_jsonb(u.use_ssl) END),
            ('login', to_jsonb(CASE WHEN NOT inherits THEN u.login WHEN users_group THEN g.user_login ELSE g.login END), NOT inherits AND u.server <> '',
             CASE WHEN inherits THEN shared || 'login' ELSE 'default' END, CASE WHEN inherits AND u.server <> '' THEN to_jsonb(u.login) END),
            ('allow_cleartext', to_jsonb(CASE WHEN NOT inherits THEN u.allow_cleartext WHEN users_group THEN g.user_allow_cleartext ELSE g.allow_cleartext END),
             NOT inherits AND u.server <> '', CASE WHEN inherits THEN shared || 'allow_cleartext' ELSE 'default' END,
             CASE WHEN inherits AND u.server <> '' THEN to_jsonb(u.allow_cleartext) END),
            ('send_as', to_jsonb(u.send_as), u.send_as, 'default', NULL),
            ('has_password', to_jsonb(u.password IS NOT NULL), true, '', NULL),
            ('has_token', to_jsonb(to_jsonb(u) ? 'token' AND to_jsonb(u) -> 'token' <> 'null'), true, '', NULL)) s;
    ELSIF of_kind = 'row' THEN
        SELECT * INTO r FROM rows x WHERE x.code = btrim(of_code);
        IF FOUND THEN
            RETURN QUERY SELECT s.* FROM (VALUES
                ('kind', to_jsonb(r.kind), r.kind <> 'form', 'default', NULL::jsonb), ('name', to_jsonb(r.name), r.name <> '', 'default', NULL),
                ('from', to_jsonb(r.from_address), r.from_address <> '', 'default', NULL), ('mode', to_jsonb(r.mode), r.mode <> 'not_configured', 'default', NULL),
                ('effective_mode', to_jsonb(CASE r.mode WHEN 'general' THEN g.mode ELSE r.mode END), false, CASE r.mode WHEN 'general' THEN 'general.mode' ELSE 'row.mode' END, NULL)) s;
        END IF;
    ELSIF of_kind = 'model' THEN
        SELECT * INTO m FROM models x WHERE x.code = btrim(of_code);
        IF FOUND THEN
            RETURN QUERY SELECT s.* FROM (VALUES
                ('name', to_jsonb(m.name), m.name <> '', 'default', NULL::jsonb), ('from', to_jsonb(m.from_address), m.from_address <> '', 'default', NULL),
                ('mode', to_jsonb(m.mode), m.mode <> 'not_configured', 'default', NULL),
                ('effective_mode', to_jsonb(CASE m.mode WHEN 'general' THEN g.mode ELSE m.mode END), false, CASE m.mode WHEN 'general' THEN 'general.mode' ELSE 'model.mode' END, NULL)) s;
        END IF;
    END IF;
END $$;

-- The same as JSON, with the version for if_version, what is still missing, and what General's account must be allowed to send as.
CREATE FUNCTION mailroom.settings_shown(of_kind text, of_code text DEFAULT '') RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    shown jsonb;
    found_version bigint;
    lacks text[] := '{}';
BEGIN
    CASE of_kind
        WHEN 'general' THEN SELECT g.version, general_lacks(g) INTO found_version, lacks FROM general g;
        WHEN 'user' THEN SELECT u.version, user_lacks(u, g) INTO found_version, lacks FROM users u, general g WHERE u.code = btrim(of_code);
        WHEN 'row' THEN SELECT r.version, document_lacks(r.mode, r.from_address, g) INTO found_version, lacks FROM rows r, general g WHERE r.code = btrim(of_code);
        WHEN 'model' THEN SELECT m.version, document_lacks(m.mode, m.from_address, g) INTO found_version, lacks FROM models m, general g WHERE m.code = btrim(of_code);
        ELSE RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('"%s" is none of general, user, row, model', left(of_kind, 60));
    END CASE;
    IF found_version IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no %s "%s"', CASE of_kind WHEN 'row' THEN 'form' ELSE of_kind END, left(of_code, 100));
    END IF;
    SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('setting', s.setting, 'value', s.value, 'is_stored', s.is_stored,
                                                          'origin', CASE WHEN NOT s.is_stored THEN s.origin END, 'own', s.own)))
      INTO shown FROM settings_of(of_kind, of_code) s;
    RETURN jsonb_build_object('kind', of_kind, 'code', btrim(of_code), 'version', found_version, 'settings', shown, 'still_missing', coalesce(lacks, '{}'))
        || CASE of_kind WHEN 'general' THEN jsonb_build_object('must_be_allowed_to_send_as',
                coalesce((SELECT jsonb_agg(jsonb_build_object('address', s.address, 'kind', s.kind, 'code', s.code)) FROM general_sends_as() s), '[]')) ELSE '{}' END;
END $$;

-- Refuses a file made of settings that others have changed since. Asked after the file was saved: only then all that it names is locked, and a file that
-- changes nothing goes over nothing. `marker`: what is newer, and of this transaction, is the file's own.
CREATE FUNCTION mailroom.check_file_version(expected bigint, marker bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    told constant integer := 20; -- ours: what people read; settings_history has all
    own constant bigint := count(*) FROM settings_change c WHERE c.id > marker AND c.xmin = pg_current_xact_id()::xid;
    present constant bigint := count(*) - own FROM settings_change;
    changes jsonb;
    words text;
BEGIN
    IF own = 0 OR present = expected THEN
        RETURN;
    END IF;
    SELECT jsonb_agg(jsonb_build_object('kind', kind, 'code', code, 'who', who, 'at', at, 'action', action, 'settings', settings) ORDER BY version DESC),
           string_agg(E'\n' || named(kind, code) || ' ' || saved_in_words(action, who, at, settings), '' ORDER BY version DESC)
      INTO changes, words
      FROM (SELECT c.kind, c.code, c.version, c.who, min(c.at) AS at, c.action, array_agg(c.setting ORDER BY c.setting) FILTER (WHERE c.setting <> '') AS settings
              FROM (SELECT n.* FROM settings_change n WHERE NOT (n.id > marker AND n.xmin = pg_current_xact_id()::xid)
                     ORDER BY n.id DESC LIMIT greatest(present - expected, 0)) c
             GROUP BY c.kind, c.code, c.version, c.who, c.action ORDER BY c.version DESC LIMIT told) AS saved;
    RAISE EXCEPTION USING ERRCODE = 'MR006', DETAIL = coalesce(changes, '[]')::text,
        MESSAGE = CASE WHEN present < expected
                       THEN format('version: the file has version %s of the settings, but there is only %s: it is of another installation, or a backup was restored', expected, present)
                       ELSE format('version: the settings were changed since the file was exported (version %s now, not %s), the newest first:%s', present, expected, words) END,
        HINT = 'Nothing was saved. Export the settings again and change that file, or apply this one whatever its version is (--any-version; by SQL "any_version": true).';
END $$;

-- Saves what the file names: makes or changes, never deletes, and touches no secret but by the rules of saving. Checks everything first: with one
-- problem, nothing is saved, and all problems are named with their places. options: "confirm" as in save_general; "any_version": also a file made of
-- settings that were changed since; "lines": the line of each element, where it comes from a table.
CREATE FUNCTION mailroom.import_settings(given jsonb, options jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    not_settings constant text[] := ARRAY['code', 'has_password', 'has_token'];
    shared general;
    edition text;
    shared_mode text;
    body jsonb;
    problems text[] := '{}';
    advice text[] := '{}';
    kinds text[] := '{}';
    codes text[] := '{}';
    bodies jsonb[] := '{}';
    part record;
    item record;
    place text;
    own_code text;
    mode text;
    changed bigint;
    marker bigint;
BEGIN
    IF jsonb_typeof(given) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = 'the settings must be a JSON object';
    END IF;
    SELECT * INTO STRICT shared FROM general FOR UPDATE;
    SELECT coalesce(array_agg(format('%s: there is no such part (format, version, general, users, rows, models)', left(key, 60)) ORDER BY key), '{}') INTO problems
      FROM jsonb_object_keys(given) key WHERE key NOT IN ('format', 'version', 'general', 'users', 'rows', 'models');
    IF given ? 'format' AND given ->> 'format' IS DISTINCT FROM 'mailroom settings 1' THEN
        problems := problems || format('format: "%s" is not "mailroom settings 1"', left(given ->> 'format', 60));
    END IF;
    IF given ? 'version' AND coalesce(given ->> 'version', '') !~ '^[0-9]{1,18}$' THEN
        problems := problems || format('version: "%s" is no version', left(given ->> 'version', 60));
    END IF;

    body := coalesce(given -> 'general', '{}');
    IF jsonb_typeof(body) <> 'object' THEN
        problems := problems || 'general: must be an object'::text;
        body := '{}';
    END IF;
    body := body - not_settings;
    IF body -> 'default_user_mode' = 'null' THEN
        body := body - 'default_user_mode';
    END IF;
    edition := CASE WHEN btrim(body ->> 'edition') IN ('on_premise', 'cloud') THEN btrim(body ->> 'edition') ELSE shared.edition END;
    shared_mode := CASE WHEN body ? 'mode' THEN btrim(body ->> 'mode') WHEN NOT shared.mode_saved AND btrim(body ->> 'default_user_mode') = 'smtp' THEN 'smtp' ELSE shared.mode END;
    problems := problems || ARRAY(SELECT format('general: %s: %s', key, problem)
        FROM (SELECT key, setting_problem('general', key, value, edition) AS problem FROM jsonb_each(body)) checked WHERE problem IS NOT NULL ORDER BY key);
    IF given ? 'general' THEN
        kinds := kinds || 'general'::text; codes := codes || ''::text; bodies := bodies || body;
    END IF;

    FOR part IN SELECT * FROM (VALUES ('users', 'user'), ('rows', 'row'), ('models', 'model')) p (name, kind) LOOP
        IF NOT given ? part.name THEN
            CONTINUE;
        ELSIF jsonb_typeof(given -> part.name) <> 'array' THEN
            problems := problems || format('%s: must be a list', part.name);
            CONTINUE;
        END IF;
        FOR item IN SELECT e.value, e.position FROM jsonb_array_elements(given -> part.name) WITH ORDINALITY e (value, position) LOOP
            place := coalesce('line ' || (options #>> ARRAY['lines', (item.position - 1)::text]), format('%s[%s]', part.name, item.position - 1));
            IF jsonb_typeof(item.value) <> 'object' THEN
                problems := problems || format('%s: must be an object', place);
                CONTINUE;
            END IF;
            own_code := btrim(coalesce(item.value ->> 'code', ''));
            IF jsonb_typeof(item.value -> 'code') NOT IN ('string', 'number') OR own_code = '' OR octet_length(own_code) > 100 OR has_control(own_code) THEN
                problems := problems || format('%s: code: a code has 1 to 100 octets and no control characters', place);
                own_code := '';
            ELSE
                place := place || ' ' || own_code;
                IF EXISTS (SELECT FROM unnest(kinds, codes) known (kind, code) WHERE known.kind = part.kind AND known.code = own_code) THEN
                    problems := problems || format('%s: code: is named twice', place);
                END IF;
            END IF;
            body := item.value - not_settings;
            mode := btrim(body ->> 'mode');
            IF part.kind IN ('row', 'model') AND mode IS NOT NULL THEN
                IF mode = '' THEN
                    body := body || '{"mode": "not_configured"}';
                ELSIF mode IN ('smtp', 'office365') THEN
                    IF mode <> shared_mode THEN
                        problems := problems || format('%s: mode: "%s" is not what general.mode is (%s); it may be not_configured, outlook or general', place, mode, shared_mode);
                    END IF;
                    body := body || '{"mode": "general"}';
                END IF;
            END IF;
            problems := problems || ARRAY(SELECT format('%s: %s: %s', place, key, problem)
                FROM (SELECT key, setting_problem(part.kind, key, value, edition) AS problem FROM jsonb_each(body)) checked WHERE problem IS NOT NULL ORDER BY key);
            kinds := kinds || part.kind; codes := codes || own_code; bodies := bodies || body;
        END LOOP;
    END LOOP;
    IF cardinality(problems) > 0 THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', DETAIL = to_jsonb(problems)::text, HINT = 'docs/configuration.md lists every setting with its values.',
            MESSAGE = format(E'%s, nothing was saved:\n%s', CASE cardinality(problems) WHEN 1 THEN '1 problem' ELSE cardinality(problems) || ' problems' END, array_to_string(problems, E'\n'));
    END IF;

    SELECT coalesce(max(c.id), 0) INTO marker FROM settings_change c;
    FOR i IN 1 .. cardinality(kinds) LOOP
        advice := advice || CASE kinds[i] WHEN 'general' THEN put_general(bodies[i] || '{"confirm": true}') WHEN 'user' THEN put_user(codes[i], bodies[i])
                                          WHEN 'row' THEN put_row(codes[i], bodies[i]) ELSE put_model(codes[i], bodies[i]) END;
    END LOOP;
    IF given ? 'version' AND NOT is_confirmed(options, 'any_version') THEN
        PERFORM check_file_version((given ->> 'version')::bigint, marker);
    END IF;
    IF NOT is_confirmed(options, 'confirm') THEN -- only now: the file may do away with passwords and desktop values
        PERFORM check_meant(shared);
    END IF;
    PERFORM bind_inherited_passwords();
    advice := advice || cloud_advice(shared.edition);
    PERFORM settings_changed(NULL);
    SELECT count(*) INTO changed FROM (SELECT DISTINCT c.kind, c.code FROM settings_change c WHERE c.id > marker AND c.xmin = pg_current_xact_id()::xid) own;
    RETURN jsonb_build_object('named', cardinality(kinds), 'changed', changed, 'advice', advice);
END $$;

-- What was changed, the newest first; a cell of NULL where nothing is told.
CREATE FUNCTION mailroom.settings_history(max_rows integer DEFAULT 100, before_id bigint DEFAULT NULL) RETURNS SETOF mailroom.settings_change
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT * FROM settings_change c WHERE before_id IS NULL OR c.id < before_id ORDER BY c.id DESC LIMIT max_rows
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailroom.settings_of(text, text), mailroom.settings_shown(text, text), mailroom.settings_history(integer, bigint),
      mailroom.delete_user(text, jsonb), mailroom.delete_row(text, jsonb), mailroom.delete_model(text, jsonb), mailroom.copy_user(text, text, jsonb),
      mailroom.export_settings(), mailroom.import_settings(jsonb, jsonb), mailroom.waiting_facts(), mailroom.cloud_obstacles(), mailroom.general_sends_as() TO mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.ascii_lower(text) TO mailroom_worker, mailroom_administrator;
GRANT SELECT ON mailroom.settings_change TO mailroom_administrator;
