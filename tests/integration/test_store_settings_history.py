"""Every change of the mail settings is recorded, secrets only as changed or removed; and whoever saves what another has changed meanwhile is told."""

import json
import threading

import psycopg2
import pytest

from store import refused

SEALED = b"\x01sealed\xff"


def history(store, **where):
    """(setting or action, old, new) of the changes, the oldest first."""
    rows = store.administrator.rows("SELECT * FROM mailroom.settings_change ORDER BY id")
    return [(row["setting"] or row["action"], row["old_value"], row["new_value"]) for row in rows if all(row[key] == value for key, value in where.items())]


def version(store, kind="general", code=""):
    return store.administrator.value("SELECT mailroom.settings_shown(%s, %s)", kind, code)["version"]


# What is recorded

def test_a_change_is_recorded_with_who_when_from_and_to(store):
    store.administrator.rows("SET application_name = 'erp screen 7'")
    store.administrator.save("general", server="mail.test", port=25)
    store.administrator.save("general", port=2525)
    assert history(store) == [("port", "587", "25"), ("server", "", "mail.test"), ("port", "25", "2525")]
    [row] = store.administrator.rows("SELECT who, door, kind, code, at > now() - interval '1 minute' AS recent, reason FROM mailroom.settings_change WHERE new_value = '2525'")
    assert row == {"who": "login_administrator", "door": "erp screen 7", "kind": "general", "code": "", "recent": True, "reason": None}


def test_saving_what_is_so_already_changes_nothing_and_records_nothing(store):
    store.administrator.save("user", "ANNA", email="anna@x.test")
    before, recorded = version(store, "user", "ANNA"), history(store)
    store.administrator.save("user", "ANNA", email=" anna@x.test ")
    assert (version(store, "user", "ANNA"), history(store)) == (before, recorded)


def test_what_is_made_and_deleted_is_recorded_with_what_it_was(store):
    store.administrator.save("row", "INV", from_="inv@x.test", mode="general")
    store.administrator.rows("SELECT mailroom.delete_row('INV')")
    made, *changed, deleted = history(store, kind="row", code="INV")
    assert made == ("made", None, None) and changed == [("from", "", "inv@x.test"), ("mode", "not_configured", "general")]
    assert deleted[0] == "deleted" and json.loads(deleted[1]) == {"kind": "form", "name": "", "from_address": "inv@x.test", "mode": "general"}


def test_what_is_set_by_itself_is_recorded_with_its_reason(store):
    store.administrator.save("general", default_user_mode="smtp", server="mail.test", port=25)
    store.administrator.save("user", "ANNA", mode="smtp")
    reasons = {(row["kind"], row["setting"]): row["reason"] for row in store.administrator.rows("SELECT * FROM mailroom.settings_change WHERE setting <> ''")}
    assert reasons["general", "mode"] == "default_user_mode was saved as smtp, and mode never was"
    assert "the inherited one became the user's own" in reasons["user", "server"] and "the inherited one" in reasons["user", "port"]
    assert reasons["general", "default_user_mode"] is None and reasons["user", "mode"] is None


def test_of_a_password_only_that_it_was_changed_or_removed_and_why(store):
    store.administrator.save("user", "ANNA", email="anna@x.test")
    anna = store.root.value("SELECT id FROM mailroom.users")
    store.administrator.rows("SELECT mailroom.store_password(%s, 'anna@x.test', %s)", anna, SEALED)
    store.administrator.save("user", "ANNA", account="other")
    recorded = store.administrator.rows("SELECT setting, old_value, new_value, reason FROM mailroom.settings_change WHERE setting IN ('password', 'account') ORDER BY id")
    assert [tuple(row.values()) for row in recorded] == [
        ("account", "", "anna@x.test", "stored with the password"), ("password", None, "changed", None),
        ("account", "anna@x.test", "other", None), ("password", None, "removed", "it belonged to another account or server")]
    assert "sealed" not in str(store.administrator.rows("SELECT * FROM mailroom.settings_change"))


def test_a_reason_is_not_told_of_the_next_change(store):
    store.administrator.begin()
    store.administrator.save("general", default_user_mode="smtp")
    store.administrator.save("general", mode="office365")
    store.administrator.commit()
    assert store.administrator.value("SELECT reason FROM mailroom.settings_change WHERE new_value = 'office365'") is None


def test_a_change_past_the_doors_is_recorded_as_well(store):
    store.root.rows("UPDATE mailroom.general SET server = 'evil.test'")
    assert history(store) == [("server", "", "evil.test")]


def test_a_change_that_is_undone_leaves_no_record(store):
    store.administrator.begin()
    store.administrator.save("general", server="mail.test")
    store.administrator.rollback()
    assert history(store) == []


def test_making_what_is_there_records_no_second_making(store):
    for name in ("one", "two"):
        store.administrator.save("user", "ANNA", name=name)
    assert [what for what, _, _ in history(store, kind="user")].count("made") == 1


def test_the_history_comes_in_pages_the_newest_first(store):
    for port in range(1, 6):
        store.administrator.save("general", port=port)
    first = store.administrator.rows("SELECT id, new_value FROM mailroom.settings_history(2)")
    assert [row["new_value"] for row in first] == ["5", "4"]
    rest = store.administrator.rows("SELECT new_value FROM mailroom.settings_history(10, %s)", first[-1]["id"])
    assert [row["new_value"] for row in rest] == ["3", "2", "1"]


# Two who save at once

KINDS = [("general", ()), ("user", ("ANNA",)), ("row", ("ANNA",)), ("model", ("ANNA",))]
FIRST = {"general": {"server": "one.test"}, "user": {"name": "one"}, "row": {"name": "one"}, "model": {"name": "one"}}
SECOND = {"general": {"account": "two"}, "user": {"email": "two@x.test"}, "row": {"from_": "two@x.test"}, "model": {"from_": "two@x.test"}}


@pytest.mark.parametrize("kind, code", KINDS, ids=[kind for kind, _ in KINDS])
def test_the_second_of_two_who_read_the_same_is_told_who_changed_what_and_saves_nothing(store, kind, code):
    if code:
        store.administrator.save(kind, *code)
    read = version(store, kind, *code)
    first, second = store.administrator, store.session("administrator")
    first.begin()
    first.save(kind, *code, **FIRST[kind], if_version=read)
    with store.blocked(second, lambda: second.save(kind, *code, **SECOND[kind], if_version=read)) as later:
        first.commit()
        with refused("MR006", "was changed since you read it", "by login_administrator at 20", next(iter(FIRST[kind]))) as caught:
            later.result()
    [told] = json.loads(caught.value.diag.message_detail)
    assert (told["who"], told["settings"]) == ("login_administrator", [*FIRST[kind]])
    assert next(iter(SECOND[kind])).rstrip("_") not in {setting for setting, _, _ in history(store)}
    second.save(kind, *code, **SECOND[kind], if_version=version(store, kind, *code))


def test_of_twenty_who_save_at_once_exactly_one_succeeds(store):
    store.administrator.save("user", "ANNA")
    read = version(store, "user", "ANNA")
    sessions = [store.session("administrator") for _ in range(20)]
    ended, start = [], threading.Barrier(len(sessions))

    def save(session, number):
        start.wait()
        try:
            session.save("user", "ANNA", name=f"n{number}", if_version=read)
            ended.append(number)
        except psycopg2.Error as error:
            ended.append(error.pgcode)

    threads = [threading.Thread(target=save, args=[session, number]) for number, session in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    [winner] = [one for one in ended if one != "MR006"]
    assert len(ended) == 20 and store.root.value("SELECT name FROM mailroom.users") == f"n{winner}"


def test_two_who_make_the_same_user_as_new_do_not_mix(store):
    first, second = store.administrator, store.session("administrator")
    first.begin()
    first.save("user", "ANNA", name="one", if_version=0)
    with store.blocked(second, lambda: second.save("user", "ANNA", name="two", if_version=0)) as later:
        first.commit()
        with refused("MR006", "user ANNA: is there already", "made by login_administrator"):
            later.result()
    assert store.root.value("SELECT name FROM mailroom.users") == "one"


def test_saving_what_was_deleted_meanwhile_makes_it_not_anew(store):
    store.administrator.save("user", "ANNA")
    read = version(store, "user", "ANNA")
    store.administrator.rows("SELECT mailroom.delete_user('ANNA')")
    with refused("MR006", "user ANNA: is not there", "deleted by login_administrator"):
        store.administrator.save("user", "ANNA", name="x", if_version=read)
    assert store.root.value("SELECT count(*) FROM mailroom.users") == 0


def test_a_version_from_before_a_deletion_does_not_fit_what_was_made_anew(store):
    store.administrator.save("user", "ANNA")
    read = version(store, "user", "ANNA")
    store.administrator.rows("SELECT mailroom.delete_user('ANNA')")
    store.administrator.save("user", "ANNA")
    with refused("MR006"):
        store.administrator.save("user", "ANNA", name="x", if_version=read)


def test_who_names_no_version_saves_as_ever(store):
    store.administrator.save("general", server="one.test")
    store.administrator.save("general", server="two.test")
    assert store.root.value("SELECT server FROM mailroom.general") == "two.test"


@pytest.mark.parametrize("told", ["x", "-1", "", "1.5", "9" * 30])
def test_a_version_that_is_none_is_refused(shared_store, told):
    with refused("MR002", "if_version"):
        shared_store.administrator.save("general", if_version=told)


def test_deleting_what_was_changed_meanwhile_is_refused(store):
    store.administrator.save("row", "INV")
    read = version(store, "row", "INV")
    store.administrator.save("row", "INV", name="x")
    with refused("MR006", "form INV: was changed since you read it"):
        store.administrator.rows("SELECT mailroom.delete_row('INV', %s)", json.dumps({"if_version": read}))
    assert store.root.value("SELECT count(*) FROM mailroom.rows") == 1
