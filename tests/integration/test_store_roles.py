"""Who may do what in the database: every role, every door, and nothing by accident."""

import psycopg2
import pytest

from store import ACCEPTED, ROLES, refused

DENIED = "42501"  # insufficient_privilege
EVERYBODY = (*ROLES, "nobody")

# What a login tries: who alone may do it, and the statement.
ACTIONS = {
    "enqueue a message": ("producer mobile operator", "SELECT mailroom.enqueue('{\"to\": \"a@example.test\", \"subject\": \"\", \"text\": \"x\"}')"),
    "ask for a state": ("producer mobile worker operator", "SELECT mailroom.state(gen_random_uuid())"),
    "read the hot table": ("worker operator", "SELECT count(*) FROM mailroom.queue"),
    "read the depth": ("worker operator", "SELECT state, lane, category, reason FROM mailroom.depth"),
    "read who gets a message": ("worker operator", "SELECT generation, id, uid, recipients, reply_to, document FROM mailroom.content"),
    "read a subject": ("worker", "SELECT subject FROM mailroom.content"),
    "read a text": ("worker", "SELECT body_text FROM mailroom.content"),
    "read an HTML body": ("worker", "SELECT body_html FROM mailroom.content"),
    "read a producer's headers": ("worker", "SELECT headers FROM mailroom.content"),
    "read an attachment": ("worker", "SELECT bytes FROM mailroom.blob"),
    "read an attachment's name": ("worker", "SELECT name FROM mailroom.attachment"),
    "read the log": ("worker operator", "SELECT * FROM mailroom.log"),
    "read a story": ("worker operator", "SELECT * FROM mailroom.story"),
    "read why it was decided so": ("worker operator", "SELECT * FROM mailroom.decision"),
    "change why it was decided so": ("", "UPDATE mailroom.decision SET why = '{}'"),
    "forget decisions": ("worker", "DELETE FROM mailroom.decision"),
    "read single recipients' results": ("worker operator", "SELECT * FROM mailroom.recipient_result"),
    "read idempotency keys": ("", "SELECT * FROM mailroom.idempotency"),
    "read the dispatchers": ("worker operator", "SELECT * FROM mailroom.dispatcher"),
    "read who posted a message": ("worker operator", "SELECT posted_by FROM mailroom.queue UNION ALL SELECT posted_by FROM mailroom.log UNION ALL SELECT posted_by FROM mailroom.story"),
    "read where messages wait": ("worker operator", "SELECT * FROM mailroom.place"),
    "block a route": ("worker", "UPDATE mailroom.place SET blocked_until = now()"),
    "read what a route used": ("worker operator", "SELECT * FROM mailroom.route_usage"),
    "change what a route used": ("worker", "DELETE FROM mailroom.route_usage"),
    "be granted recipients": ("worker", "SELECT mailroom.grant_recipients(1, 1, 1, 1)"),
    "read the servers' limits": ("worker operator administrator", "SELECT * FROM mailroom.limits"),
    "read the events": ("worker operator administrator", "SELECT * FROM mailroom.events"),
    "change the events": ("worker", "DELETE FROM mailroom.events"),
    "read the held batches": ("worker operator", "SELECT * FROM mailroom.held_batch"),
    "delete a held batch past its function": ("", "DELETE FROM mailroom.held_batch"),
    "open a generation past its function": ("", "UPDATE mailroom.generation SET opened_at = now()"),
    "read paused logins": ("worker operator administrator", "SELECT * FROM mailroom.refused_login"),
    "read what is known of accounts": ("worker operator administrator", "SELECT * FROM mailroom.account_status"),
    "change what is known of accounts": ("worker administrator", "UPDATE mailroom.account_status SET state = 'authenticated'"),
    "read what desktops report": ("worker operator administrator", "SELECT * FROM mailroom.desktop_agent"),
    "read the sealed token of General": ("worker administrator", "SELECT token FROM mailroom.general"),
    "change General's token": ("", "UPDATE mailroom.general SET token = NULL"),
    "read Users without passwords": ("worker administrator", "SELECT code, email, account FROM mailroom.users"),
    "read Users' sealed passwords": ("worker administrator", "SELECT password FROM mailroom.users"),
    "read General's sealed password": ("worker administrator", "SELECT password FROM mailroom.general"),
    "read Rows": ("worker operator administrator", "SELECT * FROM mailroom.rows"),
    "save General": ("administrator", "SELECT mailroom.save_general('{}')"),
    "save a User": ("administrator", "SELECT mailroom.save_user('ANNA', '{}')"),
    "save a Row": ("administrator", "SELECT mailroom.save_row('INVOICE', '{}')"),
    "save a Model": ("administrator", "SELECT mailroom.save_model('ORDER', '{}')"),
    "save a User past the door's ends": ("", "SELECT mailroom.put_user('ANNA', '{}')"),
    "read who changed which setting": ("administrator", "SELECT * FROM mailroom.settings_change"),
    "read the history of settings": ("administrator", "SELECT * FROM mailroom.settings_history()"),
    "change the history of settings": ("", "DELETE FROM mailroom.settings_change"),
    "see General's settings with their origin": ("administrator", "SELECT mailroom.settings_shown('general')"),
    "export the settings": ("administrator", "SELECT mailroom.export_settings()"),
    "import settings": ("administrator", "SELECT mailroom.import_settings('{}')"),
    "count what waits by sender": ("administrator", "SELECT * FROM mailroom.waiting_facts()"),
    "read the tests": ("administrator", "SELECT * FROM mailroom.test_mail"),
    "change a test": ("", "DELETE FROM mailroom.test_mail"),
    "record a test past its function": ("", "INSERT INTO mailroom.test_mail (place) VALUES ('x')"),
    "set right what a good test found": ("administrator", "SELECT mailroom.test_was_good('', '', 'smtp', '', '', 'general')"),
    "pause a login": ("worker administrator", "INSERT INTO mailroom.refused_login (fingerprint, reason, account, owner, server, reply) VALUES ('', '', '', '', '', '')"),
    "let a paused login go": ("worker", "DELETE FROM mailroom.refused_login"),
    "store a password": ("administrator", "SELECT mailroom.store_password(NULL, 'a', '\\x00')"),
    "probe a paused account": ("operator administrator", "SELECT mailroom.probe(NULL)"),
    "forget a refused login of any account": ("", "SELECT mailroom.forget_refusals('', '', true)"),
    "change General's table": ("", "UPDATE mailroom.general SET server = 'evil.example.test'"),
    "change the Users' table": ("", "UPDATE mailroom.users SET password = '\\x00'"),
    "insert a Row": ("", "INSERT INTO mailroom.rows (code) VALUES ('X')"),
    "delete a Model": ("", "DELETE FROM mailroom.models"),
    "delete a User by the door": ("administrator", "SELECT mailroom.save_user('GONE', '{}'), mailroom.delete_user('GONE')"),
    "copy a User": ("administrator", "SELECT mailroom.save_user('ONE', '{}'), mailroom.copy_user('ONE', 'TWO')"),
    "rename the installation": ("", "UPDATE mailroom.installation SET name = 'other'"),
    "raise the limits": ("", "UPDATE mailroom.installation SET max_message_size = 1"),
    "write a message past enqueue": ("", "INSERT INTO mailroom.content (generation, id, uid, recipients, subject) VALUES (0, 1, gen_random_uuid(), '[]', '')"),
    "change an attachment": ("", "UPDATE mailroom.blob SET bytes = ''"),
    "change a message's content": ("", "UPDATE mailroom.content SET subject = 'other'"),
    "delete a message's content": ("", "DELETE FROM mailroom.content"),
    "change the log": ("", "UPDATE mailroom.log SET outcome = 'sent'"),
    "delete from the log": ("", "DELETE FROM mailroom.log"),
    "change a story": ("", "UPDATE mailroom.story SET note = ''"),
    "delete from the queue": ("worker", "DELETE FROM mailroom.queue"),
    "change the queue": ("worker", "UPDATE mailroom.queue SET lane = 0"),
    "enter a dispatcher": ("worker", "INSERT INTO mailroom.dispatcher (host, pid, version, lease) VALUES ('x', 1, 'x', '1s')"),
    "say that settings changed": ("worker administrator", "SELECT mailroom.settings_changed('{}')"),
    "read which migrations there were": ("producer mobile worker operator administrator", "SELECT * FROM mailroom.migrations"),
    "change the migrations": ("", "DELETE FROM mailroom.migrations"),
    "make a table": ("", "CREATE TABLE mailroom.mine (x integer)"),
    "make a function": ("", "CREATE FUNCTION mailroom.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_only_who_needs_it_may(shared_store, action):
    allowed, statement = ACTIONS[action]
    may = []
    for login in EVERYBODY:
        session = getattr(shared_store, login)
        session.begin()
        try:
            session.rows(statement)
            may.append(login)
        except psycopg2.Error as error:
            assert error.pgcode == DENIED, f"{login}: {error.pgcode} {error}"
        finally:
            session.rollback()
    assert may == [login for login in EVERYBODY if login in allowed.split()]


@pytest.mark.parametrize("action, allowed", [
    ("retry", ["operator"]), ("cancel", ["operator"]), ("hold", ["operator"]), ("settle", ["operator"]),
    ("release", ["operator", "administrator"]), ("reassign", ["operator", "administrator"])])
def test_messages_are_an_operators_and_an_administrator_releases_and_reassigns(shared_store, action, allowed):
    for function in (f"mailroom.{action}_messages(jsonb, jsonb, bigint, integer)", *(["mailroom.preview(text, jsonb, jsonb)"] if len(allowed) > 1 else [])):
        assert [login for login in EVERYBODY
                if shared_store.root.value("SELECT has_function_privilege(%s, %s, 'EXECUTE')", "login_" + login, function)] == allowed


def test_a_producer_may_execute_nothing_but_what_is_for_it(shared_store):
    for login in ("producer", "mobile"):
        may = shared_store.root.rows("SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
                                     " WHERE n.nspname = 'mailroom' AND has_function_privilege(%s, p.oid, 'EXECUTE')", "login_" + login)
        assert sorted(row["proname"] for row in may) == [
            "cancel", "cancel_batch", "enqueue", "enqueue_many", "hold_batch", "outcomes", "put_attachment", "release_batch", "state"]


def test_a_producer_may_read_no_table_but_the_migrations_and_write_none(shared_store):
    for login in ("producer", "mobile", "nobody"):
        may = shared_store.root.rows(
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'mailroom'"
            " AND c.relkind IN ('r', 'v', 'm', 'p') AND (has_table_privilege(%s, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')"
            " OR has_any_column_privilege(%s, c.oid, 'SELECT, INSERT, UPDATE'))", "login_" + login, "login_" + login)
        assert [row["relname"] for row in may] == ([] if login == "nobody" else ["migrations"])


def test_no_function_is_for_everybody(shared_store):
    assert shared_store.root.value("SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'mailroom'") > 15
    assert shared_store.root.rows("SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
                                  " WHERE n.nspname = 'mailroom' AND has_function_privilege('public', p.oid, 'EXECUTE')") == []


def test_no_table_and_not_the_schema_is_for_everybody(shared_store):
    assert shared_store.root.rows("SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, aclexplode(c.relacl) a"
                                  " WHERE n.nspname = 'mailroom' AND a.grantee = 0") == []
    assert not shared_store.root.value("SELECT has_schema_privilege('public', 'mailroom', 'USAGE')")


def test_functions_that_run_with_the_owners_rights_fix_where_names_are_looked_up(shared_store):
    found = shared_store.root.rows("SELECT p.proname, p.proconfig FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
                                   " WHERE n.nspname = 'mailroom' AND p.prosecdef")
    assert len(found) >= 8
    assert [row for row in found if "search_path=mailroom, pg_temp" not in row["proconfig"]] == []


def test_a_producers_temporary_tables_and_functions_do_not_get_between(shared_store):
    session = shared_store.producer
    session.begin()
    for table in ("installation", "general", "users", "rows", "queue", "content"):
        session.rows(f"CREATE TEMPORARY TABLE {table} (x integer)")
    session.rows("CREATE FUNCTION pg_temp.problem(text, text) RETURNS jsonb LANGUAGE sql AS 'SELECT NULL::jsonb'")
    uid = session.enqueue()
    assert session.state(uid)["state"] == "ready"
    with refused("MR001", "subject: must be a text"):
        session.enqueue(subject=1)
    session.rollback()


def test_a_producer_asks_for_its_own_messages_only_and_an_operator_for_all(shared_store):
    uid = shared_store.producer.enqueue()
    assert shared_store.producer.state(uid)["state"] == "ready"
    assert shared_store.operator.state(uid)["state"] == "ready"
    assert shared_store.worker.state(uid)["state"] == "ready"
    assert shared_store.other_producer.state(uid) is None
    assert shared_store.mobile.state(uid) is None


def test_a_state_tells_nothing_of_what_a_message_says(shared_store):
    uid = shared_store.producer.enqueue(subject="between us", text="a secret", document="D-1")
    said = str(shared_store.operator.state(uid))
    assert "between us" not in said and "a secret" not in said


def test_a_producer_that_pretends_to_be_another_role_is_still_itself(store):
    """MOBILE is a property of the login: SET ROLE changes nothing."""
    mobile = store.login("mobile", "operator")
    mobile.rows("SET ROLE mailroom_operator")
    assert store.queue(mobile.enqueue())["source"] == 1


def test_what_mobile_posts_is_of_mobile_and_nothing_else_is(store):
    assert store.queue(store.mobile.enqueue())["source"] == 1
    assert store.queue(store.producer.enqueue())["source"] == 0
    assert store.queue(store.operator.enqueue())["source"] == 0
    assert store.queue(store.root.enqueue())["source"] == 0
    with refused("MR001", "source: there is no such field"):
        store.producer.enqueue(source=1)


def test_a_login_that_is_both_producer_and_mobile_is_refused(store):
    both = store.login("producer", "mobile")
    with refused("MR003", "both mailroom_producer and mailroom_mobile"):
        both.enqueue()
    assert store.root.value("SELECT count(*) FROM mailroom.queue") == 0


def test_a_login_that_is_mobile_through_another_group_is_mobile(store):
    login = store.login()
    user = login.connection.info.user
    store.root.rows(f'CREATE ROLE "{user}_group" NOLOGIN IN ROLE mailroom_mobile')
    store.root.rows(f'GRANT "{user}_group" TO "{user}"')
    assert store.queue(login.enqueue())["source"] == 1


@pytest.mark.parametrize("statement", ["depth", "story"])
def test_an_operator_sees_the_queue_without_what_the_messages_say(shared_store, statement):
    uid = shared_store.producer.enqueue(subject="between us", text="a secret")
    said = str(shared_store.operator.run(statement, *([uid] if statement == "story" else [])))
    assert len(said) > 100 and "between us" not in said and "a secret" not in said
    assert ACCEPTED["to"] in said or statement == "depth"


def test_an_administrator_reads_of_passwords_only_whether_there_is_one(shared_store):
    shared_store.administrator.begin()
    shared_store.administrator.rows("SELECT mailroom.store_password(NULL, 'erp', '\\xdeadbeef')")
    said = str(shared_store.administrator.run("accounts"))
    shared_store.administrator.rollback()
    assert '"has_password": true' in said and "deadbeef" not in said
