-- What dispatchers say of themselves: how far they send at all, where they last were, and which keys they have. And the key that secrets are sealed with (docs/security.md).

ALTER TABLE mailroom.dispatcher
    ADD COLUMN safety text, -- what its [safety] does, a sentence for people; NULL: nothing, as in production
    ADD COLUMN server_start timestamptz NOT NULL DEFAULT pg_postmaster_start_time(), -- of the server that it last beat on: no other one gives it messages
    ADD COLUMN key_ids text[] NOT NULL DEFAULT '{}'; -- of all its sealing keys; one of an older version tells only key_id

ALTER TABLE mailroom.installation
    ADD COLUMN key_id text; -- that what is new is sealed with; NULL: nothing was sealed yet

ALTER TABLE mailroom.refused_login
    ADD COLUMN replaced boolean NOT NULL DEFAULT false; -- there is another row for the same login, whose fingerprint is by another key

CREATE FUNCTION mailroom.key_of(sealed bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring(sealed FOR 8), 'hex')
$$;

CREATE FUNCTION mailroom.sealed_secrets() RETURNS SETOF bytea LANGUAGE sql STABLE AS $$
    SELECT password FROM mailroom.general WHERE password IS NOT NULL
    UNION ALL SELECT token FROM mailroom.general WHERE token IS NOT NULL
    UNION ALL SELECT password FROM mailroom.users WHERE password IS NOT NULL
    UNION ALL SELECT token FROM mailroom.users WHERE token IS NOT NULL
$$;

UPDATE mailroom.installation
   SET key_id = (SELECT mailroom.key_of(s) FROM mailroom.sealed_secrets() s GROUP BY 1 ORDER BY count(*) DESC LIMIT 1);

-- NULL: any key at all.
CREATE FUNCTION mailroom.has_key(one mailroom.dispatcher, id text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT one.key_id IS NOT NULL AND (id IS NULL OR id = ANY (one.key_ids || one.key_id))
$$;

-- The dispatchers that live and have this key, or have others only (one without any leaves all mail to the others); NULL: none.
CREATE FUNCTION mailroom.who_has(key text, has boolean) RETURNS text LANGUAGE sql STABLE SET search_path = mailroom, pg_temp AS $$
    SELECT string_agg(format('%s (pid %s)', d.host, d.pid), ', ' ORDER BY d.host, d.pid)
      FROM dispatcher d WHERE d.beat_at + d.lease > clock_timestamp() AND d.key_id IS NOT NULL AND has_key(d, key) = has
$$;

-- Refuses a key that a living dispatcher could not open a secret with.
CREATE FUNCTION mailroom.check_key(id text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    lacking constant text := who_has(id, false);
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = 'no key is named';
    ELSIF lacking IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MR008', MESSAGE = format('the key %s is not there on: %s', id, lacking),
            HINT = 'give each dispatcher the same key file and restart it; mailroom key list shows who has which';
    END IF;
END $$;

-- Seals with this key from now on; what is sealed already is not touched.
CREATE FUNCTION mailroom.seal_with(id text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
BEGIN
    PERFORM FROM installation FOR UPDATE;
    IF EXISTS (SELECT FROM installation i WHERE i.key_id = id) THEN
        RETURN;
    END IF;
    PERFORM check_key(id);
    UPDATE installation SET key_id = id;
END $$;

-- Lets what a server refused to this login be tried again. `ended`: also where it ended logins by password, which no new password changes.
CREATE FUNCTION mailroom.forget_refusals(login text, host text, ended boolean) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    DELETE FROM refused_login r WHERE r.account = login AND ascii_lower(r.server) = ascii_lower(host) AND (ended OR r.reason <> 'basic_login_ended');
    DELETE FROM refused_sender r WHERE r.account = login;
    SELECT settings_changed(NULL);
$$;

-- An operator's probe of General's account (no code) or a user's. Returns the account.
CREATE OR REPLACE FUNCTION mailroom.probe(user_code text) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    name text;
    host text;
BEGIN
    IF user_code IS NULL THEN
        SELECT coalesce(nullif(btrim(g.account), ''), btrim(g.server)), btrim(g.server) INTO name, host FROM general g;
    ELSE
        SELECT coalesce(nullif(btrim(u.account), ''), nullif(btrim(u.email), ''), u.code), server_of(u, g) INTO name, host
          FROM users u, general g WHERE u.code = btrim(user_code);
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no user "%s"', user_code);
        END IF;
    END IF;
    PERFORM forget_refusals(name, host, true);
    RETURN name;
END $$;

-- By the key that what is new is sealed with; by another only if nobody who lives has that one: it is lost. `read`: what whoever enters it has seen:
-- "if_version" of the owner and, where a User inherits the server, "if_general_version"; refused where somebody has saved another meanwhile.
DROP FUNCTION mailroom.store_password(integer, text, bytea);
DROP FUNCTION mailroom.forget_refusals(text);
CREATE FUNCTION mailroom.store_password(owner_id integer, account text, sealed bytea, read jsonb DEFAULT '{}') RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_variable
DECLARE
    shared general;
    one users;
    host text;
    sealing text;
    holders text;
BEGIN
    PERFORM because('{"account": "stored with the password"}');
    IF owner_id IS NULL THEN
        SELECT * INTO STRICT shared FROM general FOR UPDATE;
        PERFORM check_version('general', '', shared.version, read);
        host := btrim(shared.server);
        UPDATE general g SET password = sealed, account = store_password.account, password_server = host;
    ELSE
        SELECT * INTO STRICT shared FROM general FOR SHARE; -- before the user, as all who lock both
        SELECT * INTO one FROM users u WHERE u.id = owner_id FOR UPDATE;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no user with the id %s', owner_id);
        END IF;
        PERFORM check_version('user', one.code, one.version, read);
        IF inherits_server(one) THEN
            PERFORM check_version('general', '', shared.version, jsonb_build_object('if_version', read -> 'if_general_version'));
        END IF;
        host := server_of(one, shared);
        UPDATE users u SET password = sealed, account = store_password.account, password_server = host WHERE u.id = owner_id;
    END IF;
    PERFORM because('{}');
    PERFORM forget_refusals(btrim(store_password.account), host, false); -- which locks the installation, as the last of all
    SELECT i.key_id INTO sealing FROM installation i;
    holders := CASE WHEN sealing <> key_of(sealed) THEN who_has(sealing, true) END;
    IF holders IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'MR008',
            MESSAGE = format('passwords are sealed with the key %s, which is there on: %s; not with %s', sealing, holders, key_of(sealed)),
            HINT = 'enter it again where the key file holds that key (mailroom key list)';
    END IF;
    PERFORM seal_with(key_of(sealed));
    UPDATE place p SET release_before = clock_timestamp() WHERE p.reason = 'key_missing'; -- it may have waited for this one
END $$;

-- Refuses a key that is not the one that what is new is sealed with, by now.
CREATE FUNCTION mailroom.check_seals(id text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    sealing constant text := i.key_id FROM installation i;
BEGIN
    IF id IS DISTINCT FROM sealing THEN
        RAISE EXCEPTION USING ERRCODE = 'MR008', MESSAGE = format('somebody else seals with the key %s meanwhile, not with %s', sealing, id),
            HINT = 'nothing of this step was kept; mailroom key list shows how far each is';
    END IF;
END $$;

-- Puts secrets in the place of the same ones sealed otherwise. Each is {"user": id or null, "column": "password" or "token", "old", "new": hexadecimal,
-- "old_login", "new_login": the fingerprints of the login, or null}: a refused login stays refused. What was changed meanwhile stays as it is.
-- Returns how many were put.
CREATE FUNCTION mailroom.reseal(secrets jsonb) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    one record;
    sealing constant text := i.key_id FROM installation i;
    put integer := 0;
    done integer;
BEGIN
    PERFORM check_key(sealing);
    PERFORM because('{"password": "sealed with another key", "token": "sealed with another key"}');
    FOR one IN SELECT s."user" AS user_id, s."column" AS name, decode(s.old, 'hex') AS old, decode(s.new, 'hex') AS new, decode(s.old_login, 'hex') AS old_login,
                      decode(s.new_login, 'hex') AS new_login
                 FROM jsonb_to_recordset(secrets) AS s("user" integer, "column" text, old text, new text, old_login text, new_login text) LOOP
        IF one.name NOT IN ('password', 'token') THEN
            RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no secret "%s"', left(one.name, 60));
        END IF;
        PERFORM check_seals(key_of(one.new));
        IF one.user_id IS NULL THEN
            EXECUTE format('UPDATE mailroom.general SET %1$I = $1 WHERE %1$I = $2', one.name) USING one.new, one.old;
        ELSE
            EXECUTE format('UPDATE mailroom.users SET %1$I = $1 WHERE %1$I = $2 AND id = $3', one.name) USING one.new, one.old, one.user_id;
        END IF;
        GET DIAGNOSTICS done = ROW_COUNT;
        put := put + done;
        IF done = 1 AND one.new_login IS NOT NULL THEN -- others may hold the same login still by the older key
            INSERT INTO refused_login
            SELECT (jsonb_populate_record(r, jsonb_build_object('fingerprint', one.new_login, 'replaced', false))).* FROM refused_login r WHERE r.fingerprint = one.old_login
                ON CONFLICT (fingerprint) DO UPDATE SET replaced = false;
            UPDATE refused_login r SET replaced = true WHERE r.fingerprint = one.old_login;
        END IF;
    END LOOP;
    PERFORM because('{}');
    IF NOT EXISTS (SELECT FROM sealed_secrets() s WHERE key_of(s) <> sealing) THEN
        DELETE FROM refused_login r WHERE r.replaced;
    END IF;
    IF put > 0 THEN
        PERFORM settings_changed('{}'); -- which locks the installation, as the last of all but places
        UPDATE place p SET release_before = clock_timestamp() WHERE p.reason = 'key_missing';
    END IF;
    PERFORM check_seals(sealing);
    RETURN put;
END $$;

-- Which keys there are, as JSON: that what is new is sealed with, how many secrets each seals, and who lives with which.
CREATE FUNCTION mailroom.keys() RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT jsonb_build_object(
        'seals', (SELECT i.key_id FROM installation i),
        'secrets', (SELECT coalesce(jsonb_object_agg(s.id, s.n), '{}')
                      FROM (SELECT key_of(sealed) AS id, count(*) AS n FROM sealed_secrets() sealed GROUP BY 1) s),
        'dispatchers', (SELECT coalesce(jsonb_agg(jsonb_build_object('host', d.host, 'pid', d.pid, 'key_ids', to_jsonb(CASE WHEN d.key_ids <> '{}' OR d.key_id IS NULL THEN d.key_ids ELSE ARRAY[d.key_id] END))
                                                  ORDER BY d.host, d.pid), '[]')
                          FROM dispatcher d WHERE d.beat_at + d.lease > clock_timestamp()))
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailroom.store_password(integer, text, bytea, jsonb), mailroom.seal_with(text), mailroom.reseal(jsonb), mailroom.keys() TO mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.has_key(mailroom.dispatcher, text) TO mailroom_worker;
