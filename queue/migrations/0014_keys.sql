-- What dispatchers say of themselves: how far they send at all, and which keys they have. And the key that secrets are sealed with (docs/security.md).

ALTER TABLE mailroom.dispatcher
    ADD COLUMN safety text, -- what its [safety] does, a sentence for people; NULL: nothing, as in production
    ADD COLUMN key_ids text[] NOT NULL DEFAULT '{}'; -- of all its sealing keys; one of an older version tells only key_id

ALTER TABLE mailroom.installation
    ADD COLUMN key_id text; -- that what is new is sealed with; NULL: nothing was sealed yet since this is known

CREATE FUNCTION mailroom.has_key(one mailroom.dispatcher, id text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(id = ANY (one.key_ids || one.key_id), false)
$$;

-- Refuses a key that a living dispatcher could not open a secret with. One without any key minds none: it leaves all mail to the others.
CREATE FUNCTION mailroom.check_key(id text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    lacking text;
BEGIN
    SELECT string_agg(format('%s (pid %s)', d.host, d.pid), ', ' ORDER BY d.host, d.pid) INTO lacking
      FROM dispatcher d WHERE d.beat_at + d.lease > clock_timestamp() AND d.key_id IS NOT NULL AND NOT has_key(d, check_key.id);
    IF lacking IS NOT NULL THEN
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

CREATE FUNCTION mailroom.key_of(sealed bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT encode(substring(sealed FOR 8), 'hex')
$$;

CREATE OR REPLACE FUNCTION mailroom.store_password(owner_id integer, account text, sealed bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
#variable_conflict use_variable
BEGIN
    PERFORM seal_with(key_of(sealed));
    PERFORM because('{"account": "stored with the password"}');
    IF owner_id IS NULL THEN
        UPDATE general g SET password = sealed, account = store_password.account;
    ELSE
        UPDATE users u SET password = sealed, account = store_password.account WHERE u.id = owner_id;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no user with the id %s', owner_id);
        END IF;
    END IF;
    PERFORM because('{}');
    UPDATE place p SET release_before = clock_timestamp() WHERE p.reason = 'key_missing'; -- it may have waited for this one
    PERFORM forget_refusals(btrim(store_password.account));
END $$;

-- Puts secrets in the place of the same ones sealed otherwise. Each is {"user": id or null, "column": "password" or "token", "old", "new": hexadecimal,
-- "old_login", "new_login": the fingerprints of the login, or null}: a refused login stays refused. What was changed meanwhile stays as it is.
-- Returns how many were put.
CREATE FUNCTION mailroom.reseal(secrets jsonb) RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    one record;
    put integer := 0;
    done integer;
BEGIN
    PERFORM because('{"password": "sealed with another key", "token": "sealed with another key"}');
    FOR one IN SELECT s."user" AS user_id, s."column" AS name, decode(s.old, 'hex') AS old, decode(s.new, 'hex') AS new, decode(s.old_login, 'hex') AS old_login,
                      decode(s.new_login, 'hex') AS new_login
                 FROM jsonb_to_recordset(secrets) AS s("user" integer, "column" text, old text, new text, old_login text, new_login text) LOOP
        IF one.name NOT IN ('password', 'token') THEN
            RAISE EXCEPTION USING ERRCODE = 'MR002', MESSAGE = format('there is no secret "%s"', left(one.name, 60));
        END IF;
        PERFORM check_key(key_of(one.new));
        IF one.user_id IS NULL THEN
            EXECUTE format('UPDATE mailroom.general SET %1$I = $1 WHERE %1$I = $2', one.name) USING one.new, one.old;
        ELSE
            EXECUTE format('UPDATE mailroom.users SET %1$I = $1 WHERE %1$I = $2 AND id = $3', one.name) USING one.new, one.old, one.user_id;
        END IF;
        GET DIAGNOSTICS done = ROW_COUNT;
        put := put + done;
        -- Others may hold the same login still by the older key.
        INSERT INTO refused_login SELECT (jsonb_populate_record(r, jsonb_build_object('fingerprint', one.new_login))).* FROM refused_login r
         WHERE r.fingerprint = one.old_login AND done = 1 AND one.new_login IS NOT NULL ON CONFLICT DO NOTHING;
    END LOOP;
    PERFORM because('{}');
    IF put > 0 THEN
        UPDATE place p SET release_before = clock_timestamp() WHERE p.reason = 'key_missing';
        PERFORM settings_changed('{}');
    END IF;
    RETURN put;
END $$;

-- Which keys there are, as JSON: that what is new is sealed with, how many secrets each seals, and who lives with which.
CREATE FUNCTION mailroom.keys() RETURNS jsonb LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT jsonb_build_object(
        'seals', (SELECT i.key_id FROM installation i),
        'secrets', (SELECT coalesce(jsonb_object_agg(s.id, s.n), '{}')
                      FROM (SELECT key_of(sealed) AS id, count(*) AS n
                              FROM (SELECT password FROM general UNION ALL SELECT token FROM general UNION ALL SELECT password FROM users UNION ALL SELECT token FROM users) all_of (sealed)
                             WHERE sealed IS NOT NULL GROUP BY 1) s),
        'dispatchers', (SELECT coalesce(jsonb_agg(jsonb_build_object('host', d.host, 'pid', d.pid, 'key_ids', to_jsonb(CASE WHEN d.key_ids <> '{}' OR d.key_id IS NULL THEN d.key_ids ELSE ARRAY[d.key_id] END))
                                                  ORDER BY d.host, d.pid), '[]')
                          FROM dispatcher d WHERE d.beat_at + d.lease > clock_timestamp()))
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailroom.seal_with(text), mailroom.reseal(jsonb), mailroom.keys() TO mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.has_key(mailroom.dispatcher, text) TO mailroom_worker;
