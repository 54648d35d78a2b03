-- What stands for the ERP's own tables in the examples. Their owner makes them; the ERP's login works with them.
CREATE TABLE invoice (number integer PRIMARY KEY, customer text NOT NULL, mail uuid);
CREATE TABLE mail_outcome (uid uuid, event text, at timestamptz, told jsonb NOT NULL, PRIMARY KEY (uid, event, at));
CREATE TABLE mail_cursor (position text); -- one row: how far mailroom.outcomes was read
INSERT INTO mail_cursor VALUES (NULL);
GRANT SELECT, INSERT, UPDATE ON invoice, mail_outcome, mail_cursor TO erp;
