-- What is known of the accounts of Office 365 and of the desktops: facts that a contact or an agent found out, beside the settings (docs/rules.md).

ALTER TABLE mailroom.general ADD COLUMN token bytea; -- sealed; of the sign-in to Office 365
ALTER TABLE mailroom.users ADD COLUMN token bytea;

CREATE TABLE mailroom.account_status (
    owner      integer PRIMARY KEY, -- a User's id; 0: General
    state      text        NOT NULL CHECK (state IN ('never_tried', 'authenticated', 'sign_in_failed', 'declined', 'approval_required', 'revoked', 'idle')),
    reason     text        NOT NULL DEFAULT '', -- what the sign-in or the server said
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    account    text        NOT NULL,              -- that it was found for; another one has never been tried
    mailbox    text        NOT NULL DEFAULT '',   -- the address that signed in
    aliases    text[]      NOT NULL DEFAULT '{}', -- of the mailbox, its sign-in name among them
    lacks_sending_for_others boolean NOT NULL DEFAULT false -- the consent: a remark beside authenticated
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

CREATE FUNCTION mailroom.forget_status() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = mailroom, pg_temp AS $$
BEGIN
    DELETE FROM account_status s WHERE s.owner = OLD.id;
    RETURN OLD;
END $$;
CREATE TRIGGER forget_status AFTER DELETE ON mailroom.users FOR EACH ROW EXECUTE FUNCTION mailroom.forget_status();

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mailroom FROM PUBLIC;
GRANT SELECT, INSERT, UPDATE, DELETE ON mailroom.account_status, mailroom.desktop_agent TO mailroom_worker;
GRANT SELECT ON mailroom.account_status, mailroom.desktop_agent TO mailroom_administrator;
GRANT SELECT ON mailroom.account_status, mailroom.desktop_agent TO mailroom_operator;
