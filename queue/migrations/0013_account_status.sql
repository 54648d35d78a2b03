-- What is known of accounts and of the desktops: facts that a contact or an agent found out, beside the settings (docs/rules.md).

ALTER TABLE mailroom.general ADD COLUMN token bytea; -- sealed; of the sign-in to Office 365
ALTER TABLE mailroom.users ADD COLUMN token bytea;

CREATE TABLE mailroom.account_status (
    owner      integer NOT NULL, -- a User's id; 0: General
    mode       text    NOT NULL DEFAULT 'office365' CHECK (mode IN ('office365', 'smtp')),
    state      text        NOT NULL CHECK (state IN ('never_tried', 'authenticated', 'sign_in_failed', 'declined', 'approval_required', 'revoked', 'idle')),
    reason     text        NOT NULL DEFAULT '', -- what the sign-in or the server said
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    account    text        NOT NULL,              -- that it was found for; another one has never been tried
    mailbox    text        NOT NULL DEFAULT '',   -- the address that signed in
    aliases    text[]      NOT NULL DEFAULT '{}', -- of the mailbox, its sign-in name among them
    lacks_sending_for_others boolean NOT NULL DEFAULT false, -- the consent: a remark beside authenticated
    proof      bytea, -- smtp: of the login that was tried (login_proof); any other has never been tried
    PRIMARY KEY (owner, mode)
);

-- What the agent on a user's desktop reported last.
CREATE TABLE mailroom.desktop_agent (
    user_id     integer PRIMARY KEY REFERENCES mailroom.users ON DELETE CASCADE,
    outlook     text        NOT NULL CHECK (outlook IN ('none', 'only_new', 'classic')),
    accounts    jsonb       NOT NULL DEFAULT '[]', -- of the classic Outlook: [{"address": "...", "linked": false}]
    reported_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A token belongs to the account that signed in: where another account is saved, also through a changed default, it goes, and what was known with it.
CREATE FUNCTION mailroom.drop_token_of_another_account() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    cloud constant boolean := TG_TABLE_NAME = 'users' AND (SELECT g.edition = 'cloud' FROM general g);
    before jsonb := to_jsonb(OLD);
    after jsonb := to_jsonb(NEW);
BEGIN
    IF coalesce(nullif(btrim(before ->> 'account'), ''), nullif(btrim(before ->> 'email'), ''), CASE WHEN cloud THEN before ->> 'code' END, '')
       IS DISTINCT FROM coalesce(nullif(btrim(after ->> 'account'), ''), nullif(btrim(after ->> 'email'), ''), CASE WHEN cloud THEN after ->> 'code' END, '') THEN
        NEW.token := NULL;
        DELETE FROM account_status s WHERE s.owner = coalesce((after ->> 'id')::integer, 0);
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER drop_token BEFORE UPDATE ON mailroom.general FOR EACH ROW EXECUTE FUNCTION mailroom.drop_token_of_another_account();
CREATE TRIGGER drop_token BEFORE UPDATE ON mailroom.users FOR EACH ROW EXECUTE FUNCTION mailroom.drop_token_of_another_account();

-- The same for the same password, as it is sealed, of the same account at the same server.
CREATE FUNCTION mailroom.login_proof(sealed bytea, account text, server text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT sha256(sealed || convert_to(account || E'\n' || server, 'UTF8'))
$$;

-- What people are shown of an account that has a status: with smtp one that logs in, and office365.
CREATE FUNCTION mailroom.status_shown(whose integer, by_mode text, account text, server text, password bytea, token bytea) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = mailroom, pg_temp AS $$
    SELECT CASE WHEN by_mode = 'office365' OR by_mode = 'smtp' AND password IS NOT NULL THEN coalesce((
        SELECT jsonb_build_object('state', s.state, 'reason', s.reason, 'checked_at', s.checked_at) FROM account_status s
         WHERE s.owner = whose AND s.mode = by_mode
           AND CASE by_mode WHEN 'smtp' THEN s.proof = login_proof(password, status_shown.account, server)
                            ELSE s.account = status_shown.account AND (s.state <> 'authenticated' OR token IS NOT NULL) END),
        '{"state": "never_tried", "reason": "", "checked_at": null}') END
$$;

-- Of General (0) and each User by the id; NULL: nothing signs in.
CREATE FUNCTION mailroom.statuses() RETURNS TABLE (owner integer, status jsonb) LANGUAGE sql STABLE SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
    SELECT 0, status_shown(0, g.mode, btrim(g.account), btrim(g.server), g.password, g.token) FROM general g
    UNION ALL SELECT u.id, status_shown(u.id, mode_of(u, g), account_of(u, g.edition), server_of(u, g), u.password, u.token) FROM users u CROSS JOIN general g
$$;

CREATE FUNCTION mailroom.forget_status() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
BEGIN
    DELETE FROM account_status s WHERE s.owner = OLD.id;
    RETURN OLD;
END $$;
CREATE TRIGGER forget_status AFTER DELETE ON mailroom.users FOR EACH ROW EXECUTE FUNCTION mailroom.forget_status();

-- A pair that a server refused stays known until it took one message of it, the trial; the others wait for that.
ALTER TABLE mailroom.refused_sender
    ADD COLUMN place_key text NOT NULL DEFAULT '', -- where the message waits that met it, and others like it
    ADD COLUMN trial     bigint, -- the message's id; NULL: none is under way
    ADD COLUMN trial_uid uuid;

-- Of each refused pair whose time is over, one waiting message is tried. When that was accepted the pair is forgotten, and where nobody waits it is no
-- longer in force; what waits for refused pairs is judged again then. Returns how many pairs these were.
CREATE FUNCTION mailroom.retry_senders() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
DECLARE
    pair refused_sender;
    tried record;
    trials integer := 0;
    freed integer := 0;
BEGIN
    FOR pair IN SELECT r.* FROM refused_sender r
                 WHERE r.until <= clock_timestamp() AND NOT r.tried_again -- one that came back to a hold is no trial any more
                   AND NOT EXISTS (SELECT FROM queue q JOIN place p ON p.id = q.place_id WHERE q.id = r.trial AND p.kind <> 'hold')
                   FOR UPDATE OF r SKIP LOCKED LOOP
        IF EXISTS (SELECT FROM log l WHERE l.uid = pair.trial_uid AND l.outcome IN ('sent', 'partly_sent')) THEN
            DELETE FROM refused_sender r WHERE (r.mode, r.account, r.from_address) = (pair.mode, pair.account, pair.from_address);
            freed := freed + 1;
            CONTINUE;
        END IF;
        UPDATE queue q SET place_id = 0, run_at = clock_timestamp()
         WHERE q.id = (SELECT w.id FROM queue w WHERE w.place_id = (SELECT p.id FROM place p WHERE p.key = pair.place_key) AND w.state = 0 AND w.crashes < 2
                          AND NOT w.cancelled AND (w.not_before IS NULL OR w.not_before <= clock_timestamp())
                        ORDER BY w.lane, w.run_at, w.id + 0 LIMIT 1 FOR UPDATE SKIP LOCKED)
        RETURNING q.id, q.uid, q.posted_by, q.lease_no INTO tried;
        IF tried.id IS NOT NULL THEN
            trials := trials + 1;
            INSERT INTO story (generation, message_id, uid, posted_by, lease_no, event, note)
            SELECT i.history_generation, tried.id, tried.uid, tried.posted_by, tried.lease_no, 'released', 'tried for all whose sender was refused' FROM installation i;
        ELSE
            freed := freed + 1;
        END IF;
        UPDATE refused_sender r SET trial = tried.id, trial_uid = tried.uid, tried_again = tried.id IS NULL
         WHERE (r.mode, r.account, r.from_address) = (pair.mode, pair.account, pair.from_address);
    END LOOP;
    IF trials + freed > 0 THEN
        PERFORM settings_changed('{}'); -- locks the version first: a hold that is being written is seen below
    END IF;
    IF freed > 0 THEN
        UPDATE place SET release_before = clock_timestamp()
         WHERE id = ANY (ARRAY(SELECT p.id FROM place p WHERE p.reason = 'send_as_denied' AND p.self_releasing ORDER BY p.id FOR NO KEY UPDATE));
    END IF;
    RETURN trials + freed;
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailroom.retry_senders() TO mailroom_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON mailroom.account_status, mailroom.desktop_agent TO mailroom_worker;
GRANT SELECT ON mailroom.account_status, mailroom.desktop_agent TO mailroom_administrator;
GRANT INSERT, UPDATE ON mailroom.account_status TO mailroom_administrator; -- by a test
GRANT EXECUTE ON FUNCTION mailroom.login_proof(bytea, text, text) TO mailroom_worker, mailroom_administrator;
GRANT EXECUTE ON FUNCTION mailroom.statuses() TO mailroom_administrator;
GRANT SELECT ON mailroom.account_status, mailroom.desktop_agent TO mailroom_operator;
