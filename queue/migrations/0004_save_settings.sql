-- The doors through which settings are saved: for the ERP's screens, the command line and later HTTP.

-- Raises the version, asks for the release of what waits for these owners (NULL: for anyone), held or parked, and wakes the dispatchers.
-- The version row is locked before the places are read: a hold that is being written either sees the new version or is seen here.
CREATE FUNCTION mailroom.settings_changed(changed text[]) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    version bigint;
BEGIN
    UPDATE installation SET settings_version = settings_version + 1 RETURNING settings_version INTO version;
    UPDATE place SET release_before = clock_timestamp(), blocked_until = NULL, blocked_why = NULL
     WHERE id = ANY (ARRAY( -- locked in the one order
         SELECT p.id FROM place p
          WHERE p.self_releasing AND (changed IS NULL OR p.owners && changed) AND (p.kind = 'hold' OR p.parked_at IS NOT NULL OR p.blocked_until IS NOT NULL)
          ORDER BY p.id FOR NO KEY UPDATE));
    PERFORM pg_notify('mailroom_settings', version::text);
    RETURN version;
END $$;

CREATE FUNCTION mailroom.yes(value text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT lower(value) IN ('true', 'yes') $$;

-- General. Returns what the person who saved should know, a line each.
CREATE FUNCTION mailroom.save_general(settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    given constant jsonb := checked_settings('general', settings);
    old general;
    new general;
    advice text[] := '{}';
    inherited text;
    shown integer;
BEGIN
    SELECT * INTO STRICT old FROM general FOR UPDATE;
    new := jsonb_populate_record(old, given);
    new.mode_saved := old.mode_saved OR given ? 'mode';
    IF given ->> 'default_user_mode' = 'smtp' AND NOT new.mode_saved THEN
        new.mode := 'smtp';
        new.mode_saved := true;
    END IF;
    IF new.password IS NOT NULL AND (new.account IS DISTINCT FROM old.account OR old.server NOT IN ('', new.server)) THEN
        new.password := NULL;
        advice := advice || 'general: the password belonged to another account or server and was removed; enter it again'::text;
    END IF;
    IF new.port = 465 AND NOT new.use_ssl OR new.user_port = 465 AND NOT new.user_use_ssl THEN
        advice := advice || 'general: port 465 is meant for TLS; without "Use SSL Encoding" nothing is encrypted'::text;
    END IF;
    inherited := coalesce(nullif(new.user_server, ''), new.server);
    SELECT count(*) INTO shown FROM users WHERE server = '' AND password IS NOT NULL;
    IF shown > 0 AND inherited IS DISTINCT FROM coalesce(nullif(old.user_server, ''), old.server) THEN
        advice := advice || format('general: %s users inherit the server; each password of theirs will be shown to "%s"', shown, inherited);
    END IF;
    -- In place: whoever waits for the row must find it again.
    UPDATE general SET edition = new.edition, default_user_mode = new.default_user_mode, mode = new.mode, mode_saved = new.mode_saved,
           account = new.account, from_address = new.from_address, server = new.server, port = new.port, use_ssl = new.use_ssl, login = new.login,
           allow_cleartext = new.allow_cleartext, user_server = new.user_server, user_port = new.user_port, user_use_ssl = new.user_use_ssl,
           user_login = new.user_login, user_allow_cleartext = new.user_allow_cleartext, send_as = new.send_as, password = new.password;
    PERFORM settings_changed(NULL); -- users inherit from General
    RETURN advice;
END $$;

CREATE FUNCTION mailroom.save_user(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_code constant text := checked_code('user', code);
    given constant jsonb := checked_settings('user', settings);
    shared general;
    old users;
    new users;
    known text;
    advice text[] := '{}';
BEGIN
    INSERT INTO users (code) VALUES (own_code) ON CONFLICT DO NOTHING;
    SELECT * INTO STRICT old FROM users u WHERE u.code = own_code FOR UPDATE;
    SELECT * INTO STRICT shared FROM general;
    new := jsonb_populate_record(old, given);
    IF given ->> 'mode' = 'smtp' AND new.server = '' THEN -- from now on the user's own
        IF shared.user_server <> '' THEN
            new.server := shared.user_server; new.port := shared.user_port; new.use_ssl := shared.user_use_ssl;
            new.login := shared.user_login; new.allow_cleartext := shared.user_allow_cleartext;
        ELSE
            new.server := shared.server; new.port := shared.port; new.use_ssl := shared.use_ssl;
            new.login := shared.login; new.allow_cleartext := shared.allow_cleartext;
        END IF;
    END IF;
    known := coalesce(nullif(old.server, ''), nullif(shared.user_server, ''), shared.server); -- the server that the password was entered for
    IF new.password IS NOT NULL AND (new.account IS DISTINCT FROM old.account
            OR known <> '' AND known <> coalesce(nullif(new.server, ''), nullif(shared.user_server, ''), shared.server)) THEN
        new.password := NULL;
        advice := advice || format('user %s: the password belonged to another account or server and was removed; enter it again', own_code);
    END IF;
    IF new.port = 465 AND NOT new.use_ssl THEN
        advice := advice || format('user %s: port 465 is meant for TLS; without "Use SSL Encoding" nothing is encrypted', own_code);
    END IF;
    UPDATE users SET name = new.name, enabled = new.enabled, email = new.email, mode = new.mode, account = new.account,
           from_address = new.from_address, server = new.server, port = new.port, use_ssl = new.use_ssl, login = new.login,
           allow_cleartext = new.allow_cleartext, send_as = new.send_as, password = new.password
     WHERE id = old.id;
    PERFORM settings_changed(ARRAY['user:' || old.id, 'user-code:' || own_code]);
    RETURN advice;
END $$;

CREATE FUNCTION mailroom.save_row(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_code constant text := checked_code('row', code);
    given constant jsonb := checked_settings('row', settings);
    new rows;
BEGIN
    INSERT INTO rows (code) VALUES (own_code) ON CONFLICT DO NOTHING;
    SELECT (jsonb_populate_record(r, given)).* INTO STRICT new FROM rows r WHERE r.code = own_code FOR UPDATE;
    UPDATE rows SET kind = new.kind, name = new.name, from_address = new.from_address, mode = new.mode WHERE id = new.id;
    PERFORM settings_changed(ARRAY['row:' || new.id]);
    RETURN '{}';
END $$;

CREATE FUNCTION mailroom.save_model(code text, settings jsonb) RETURNS text[] LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own_code constant text := checked_code('model', code);
    given constant jsonb := checked_settings('model', settings);
    new models;
BEGIN
    INSERT INTO models (code) VALUES (own_code) ON CONFLICT DO NOTHING;
    SELECT (jsonb_populate_record(m, given)).* INTO STRICT new FROM models m WHERE m.code = own_code FOR UPDATE;
    UPDATE models SET name = new.name, from_address = new.from_address, mode = new.mode WHERE id = new.id;
    PERFORM settings_changed(ARRAY['model:' || new.id]);
    RETURN '{}';
END $$;

-- Stores a password that the caller has sealed, for the account that it was entered for: storing it stores that account with it.
-- `owner_id` NULL: General.
CREATE FUNCTION mailroom.store_password(owner_id integer, account text, sealed bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    IF owner_id IS NULL THEN
        UPDATE general g SET password = sealed, account = store_password.account;
    ELSE
        UPDATE users u SET password = sealed, account = store_password.account WHERE u.id = owner_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no user with the id %s', owner_id);
        END IF;
    END IF;
    PERFORM forget_refusals(btrim(store_password.account));
END $$;

-- Lets what a server refused to this account be tried again.
CREATE FUNCTION mailroom.forget_refusals(account_name text) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    DELETE FROM refused_login WHERE account = account_name;
    DELETE FROM refused_sender WHERE account = account_name;
    SELECT settings_changed(NULL);
$$;

-- An operator's probe of General's account (no code) or a user's. Returns the account.
CREATE FUNCTION mailroom.probe(user_code text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    name text;
BEGIN
    IF user_code IS NULL THEN
        SELECT coalesce(nullif(btrim(g.account), ''), g.server) INTO name FROM general g;
    ELSE
        SELECT coalesce(nullif(btrim(u.account), ''), nullif(btrim(u.email), ''), u.code) INTO name FROM users u WHERE u.code = btrim(user_code);
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no user "%s"', user_code);
        END IF;
    END IF;
    PERFORM forget_refusals(name);
    RETURN name;
END $$;
