"""What saving tells besides: secrets that go, what is missing, whom a change reaches; and what it refuses until it is confirmed."""

import json

import pytest

from store import refused

SEALED = b"\x01sealed\xff"


def enter(store, code, account):
    owner = code and store.root.value("SELECT id FROM mailroom.users WHERE code = %s", code)
    store.administrator.rows("SELECT mailroom.store_password(%s, %s, %s)", owner, account, SEALED)


def has_password(store, code):
    return store.root.value("SELECT password IS NOT NULL FROM mailroom.users WHERE code = %s", code)


# Secrets

def test_a_password_goes_with_the_email_that_its_account_comes_from(store):
    store.administrator.save("user", "ANNA", email="anna@x.test")
    enter(store, "ANNA", "")  # past the command line: no account is stored with it
    assert store.administrator.save("user", "ANNA", name="Anna") == [] and has_password(store, "ANNA")
    assert "enter it again" in store.administrator.save("user", "ANNA", email="other@x.test")[0]
    assert not has_password(store, "ANNA")


def test_a_password_goes_with_the_edition_that_makes_a_code_an_account(store):
    store.administrator.save("user", "anna@x.test")
    enter(store, "anna@x.test", "")
    store.administrator.save("user", "BEN", email="ben@x.test")
    enter(store, "BEN", "ben@x.test")
    assert any("user anna@x.test: the password" in line for line in store.administrator.save("general", edition="cloud"))
    assert (has_password(store, "anna@x.test"), has_password(store, "BEN")) == (False, True)


def test_a_password_for_ones_own_server_is_not_shown_to_the_inherited_one(store):
    store.administrator.save("general", server="shared.test")
    store.administrator.save("user", "ANNA", email="anna@x.test", mode="smtp", server="annas.test")
    enter(store, "ANNA", "anna@x.test")
    store.administrator.save("user", "ANNA", mode="office365")
    assert has_password(store, "ANNA"), "it stays while the mode only rests"
    store.administrator.save("user", "ANNA", mode="same_as_general")
    assert not has_password(store, "ANNA")


def test_how_many_passwords_another_inherited_server_will_see_is_said(store):
    store.administrator.save("general", server="one.test")
    for code in ("ANNA", "BEN", "EVA"):
        store.administrator.save("user", code, email=f"{code.lower()}@x.test")
        enter(store, code, f"{code.lower()}@x.test")
    store.administrator.save("user", "EVA", mode="smtp", server="one.test")  # their own now
    with refused("MR007", '2 passwords of users who inherit the server would be shown to "two.test"'):
        store.administrator.save("general", user_server="two.test")
    assert store.root.value("SELECT user_server FROM mailroom.general") == ""
    said = "\n".join(store.administrator.save("general", user_server="two.test", confirm=True))
    assert '2 passwords of users who inherit the server will be shown to "two.test"' in said
    assert has_password(store, "ANNA")


def test_a_copied_user_has_the_settings_and_no_secret(store):
    store.administrator.save("user", "ANNA", email="anna@x.test", mode="smtp", server="annas.test", port=26, send_as=True, name="Anna")
    enter(store, "ANNA", "anna@x.test")
    said = store.administrator.value("SELECT mailroom.copy_user('ANNA', ' BEN ')")
    columns = "email, mode, account, from_address, server, port, use_ssl, login, allow_cleartext, send_as, name, enabled"
    [anna, ben] = store.root.rows(f"SELECT {columns} FROM mailroom.users ORDER BY code")
    assert anna == ben and (has_password(store, "ANNA"), has_password(store, "BEN")) == (True, False)
    assert any("Password" in line for line in said) and any("has the account anna@x.test of user ANNA" in line for line in said)


def test_a_copied_user_may_have_values_of_their_own_at_once(store):
    store.administrator.save("user", "ANNA", email="anna@x.test", mode="office365")
    said = store.administrator.value("SELECT mailroom.copy_user('ANNA', 'BEN', %s)", json.dumps({"email": "ben@x.test"}))
    assert said == []
    assert store.root.rows("SELECT email, mode FROM mailroom.users WHERE code = 'BEN'") == [{"email": "ben@x.test", "mode": "office365"}]


def test_nobody_is_copied_over_somebody(store):
    for code in ("ANNA", "BEN"):
        store.administrator.save("user", code, name=code)
    with refused("MR002", 'there is a user "BEN" already'):
        store.administrator.rows("SELECT mailroom.copy_user('ANNA', 'BEN')")
    with refused("MR002", 'there is no user "NONE"'):
        store.administrator.rows("SELECT mailroom.copy_user('NONE', 'EVA')")
    with refused("MR002", "a code has 1 to 100 octets"):
        store.administrator.rows("SELECT mailroom.copy_user('ANNA', '')")


# Advice

def test_what_is_still_missing_is_said_when_incomplete_settings_are_saved(store):
    assert "general: still missing: Server Name, User, Password" in store.administrator.save("general", mode="smtp")
    assert "general: still missing: User, Password" in store.administrator.save("general", server="mail.test")
    assert store.administrator.save("general", login=False) == ['general: still missing: "From" Address (of MOBILE)']
    assert store.administrator.save("general", from_="erp@x.test") == []
    assert store.administrator.save("general", login=True, account="erp", from_="") == ['general: still missing: Password, "From" Address (of MOBILE)']
    assert store.administrator.save("general", account="erp@x.test") == ["general: still missing: Password"]
    assert store.administrator.save("user", "ANNA", mode="office365") == ["user ANNA: still missing: Email"]
    assert store.administrator.save("user", "ANNA", enabled=False) == [], "nothing of theirs goes"


@pytest.mark.parametrize("server, warned", [("smtp.office365.com", True), ("SMTP.Office365.com", True), ("smtp-mail.outlook.com", True), ("outlook.com", True),
                                            ("office365.com.example.test", False), ("notoutlook.com", False), ("mail.test", False)])
def test_smtp_with_an_office365_server_is_warned_about(store, server, warned):
    for said in (store.administrator.save("general", mode="smtp", server=server), store.administrator.save("user", "ANNA", mode="smtp", server=server)):
        assert any("December 2026" in line for line in said) == warned
    assert not any("December" in line for line in store.administrator.save("general", login=False)), "no login, no Basic login"


def test_generals_office365_server_is_warned_about_where_only_users_inherit_it(store):
    assert any("December 2026" in line for line in store.administrator.save("general", mode="office365", default_user_mode="smtp", server="smtp.office365.com"))
    assert not any("December" in line for line in store.administrator.save("general", user_server="mail.test")), "they inherit another one"
    assert not any("December" in line for line in store.administrator.save("general", user_server="", default_user_mode="outlook"))


@pytest.mark.parametrize("kind, who", [("row", "form IT"), ("model", "model IT")])
def test_a_form_or_model_with_an_address_says_where_its_mail_would_be_held(store, kind, who):
    assert store.administrator.save(kind, "IT", mode="general") == [], "without an address its mail is the users'"
    assert store.administrator.save(kind, "IT", from_="it@x.test") == [f"{who}: still missing: Mailing Mode of general"]
    assert store.administrator.save(kind, "IT", mode="not_configured") == [f"{who}: still missing: Mailing Mode"]
    assert store.administrator.value("SELECT mailroom.settings_shown(%s, 'IT')", kind)["still_missing"] == ["Mailing Mode"]
    store.administrator.save("general", mode="office365", account="erp@x.test")
    assert store.administrator.save(kind, "IT", mode="general") == []
    assert store.administrator.value("SELECT mailroom.settings_shown(%s, 'IT')", kind)["still_missing"] == []


def test_the_users_whose_desktop_has_not_reported_the_account_of_an_outlook_form_are_listed(store):
    for code in ("ANNA", "BEN", "CLEO", "DORA", "EVA"):
        store.administrator.save("user", code)
    store.administrator.save("user", "OUT", enabled=False)
    for code, outlook, address, linked in (("ANNA", "classic", "INV@x.test", False), ("BEN", "classic", "inv@x.test", True), ("CLEO", "classic", "other@x.test", False),
                                           ("DORA", "only_new", "inv@x.test", False)):
        store.root.rows("INSERT INTO mailroom.desktop_agent (user_id, outlook, accounts) SELECT id, %s, %s FROM mailroom.users WHERE code = %s",
                        outlook, json.dumps([{"address": "own@x.test"}, {"address": address, "linked": linked}]), code)
    [said] = store.administrator.save("row", "INV", mode="outlook", from_="Invoices <inv@x.test>")
    assert said.endswith("in their own classic Outlook; not reported yet by BEN, CLEO, DORA, EVA")
    store.root.rows("INSERT INTO mailroom.users (code) SELECT 'U' || n FROM generate_series(1, 30) n")
    [said] = store.administrator.save("model", "DUN", mode="outlook", from_="inv@x.test")
    assert said.startswith("model DUN: ") and said.endswith(" and 14 other users") and ", EVA, U1, U10, " in said


def test_an_outlook_form_with_an_address_says_who_needs_that_account(store):
    assert store.administrator.save("row", "INV", mode="outlook") == []
    [said] = store.administrator.save("row", "INV", from_="Invoices <inv@x.test>")
    assert said == "form INV: everyone who sends this kind needs the account inv@x.test in their own classic Outlook", "there are no users"
    assert "model DUN" in store.administrator.save("model", "DUN", mode="outlook", from_="dun@x.test")[0]


def test_saving_generals_account_lists_the_addresses_it_must_be_allowed_to_send_as(store):
    store.administrator.save("row", "INV", mode="general", from_="inv@x.test")
    said = "\n".join(store.administrator.save("general", mode="office365", account="erp@x.test", from_="other@x.test"))
    assert "must be allowed to send as inv@x.test (form INV), other@x.test (general)" in said and "password seldom changes" in said
    assert store.administrator.save("general", send_as=False) == [], "only where something of it changed"


# The change to the cloud edition

@pytest.fixture
def desktops(store):
    store.administrator.save("user", "ANNA", mode="other_client")
    store.administrator.save("user", "BEN")
    store.administrator.save("row", "INV", mode="outlook", from_="inv@x.test")
    return {"anna": store.producer.enqueue(user="ANNA"), "ben": store.producer.enqueue(user="BEN"), "inv": store.producer.enqueue(user="BEN", form="INV")}


def test_a_change_to_cloud_lists_every_desktop_value_and_every_message_and_saves_nothing(store, desktops):
    with refused("MR007", "user ANNA: mode other_client: 1 message would be held", "form INV: mode outlook: 1 message would be held", *desktops.values()) as caught:
        store.administrator.save("general", edition="cloud")
    told = {(one["kind"], one["code"]): (one["value"], one["uids"]) for one in json.loads(caught.value.diag.message_detail)}
    assert told == {("user", "ANNA"): ("other_client", [desktops["anna"]]), ("general", ""): ("", [desktops["ben"]]), ("row", "INV"): ("outlook", [desktops["inv"]])}
    assert store.root.value("SELECT edition FROM mailroom.general") == "on_premise"


def test_of_many_messages_that_cloud_would_hold_the_error_names_the_first_and_the_function_all(store, desktops):
    for _ in range(25):
        store.producer.enqueue(user="ANNA")
    with refused("MR007", "user ANNA: mode other_client: 26 messages would be held: ", " ... (all of them: mailroom.cloud_obstacles())"):
        store.administrator.save("general", edition="cloud")
    [[anna]] = [[row["uids"] for row in store.administrator.rows("SELECT * FROM mailroom.cloud_obstacles()") if row["code"] == "ANNA"]]
    assert len(set(anna)) == 26
    said = store.administrator.save("general", edition="cloud", confirm=True)
    assert [line.partition(": ")[0] for line in said if "would be held: " in line] == ["general", "form INV", "user ANNA"], "who means it, or tries it, is told too"
    assert store.administrator.save("general", edition="cloud") == []


def test_a_confirmed_change_to_cloud_alters_no_stored_value(store, desktops):
    store.administrator.save("general", edition="cloud", confirm=True)
    assert store.root.rows("SELECT g.edition, u.mode AS users, r.mode AS row FROM mailroom.general g, mailroom.users u, mailroom.rows r WHERE u.code = 'ANNA'") == [
        {"edition": "cloud", "users": "other_client", "row": "outlook"}]


def test_a_change_to_cloud_without_desktop_values_needs_no_confirmation(store):
    store.administrator.save("general", edition="cloud")
    store.administrator.save("general", server="x.test")


# Deleting

def delete(store, kind, code, **options):
    return store.administrator.value(f"SELECT mailroom.delete_{kind}(%s, %s)", code, json.dumps(options))


@pytest.mark.parametrize("kind, names, reason", [("row", {"form": "IT"}, "address_removed"), ("model", {"model": "IT"}, "address_removed"), ("user", {"user": "IT"}, "no_user")])
def test_what_messages_wait_for_is_not_deleted_unless_they_are_to_be_held(store, kind, names, reason):
    settings = {} if kind == "user" else {"from_": "it@x.test", "mode": "general"}
    store.administrator.save(kind, "IT", **settings)
    uids = [store.producer.enqueue(**names) for _ in range(3)]
    table = {"row": "rows", "model": "models", "user": "users"}[kind]
    with refused("MR007", "needed by 3 messages in the queue", reason):
        delete(store, kind, "IT")
    assert store.root.value(f"SELECT count(*) FROM mailroom.{table}") == 1
    [said] = delete(store, kind, "IT", hold=True)
    assert "3 messages in the queue will be held" in said and reason in said
    assert store.root.value(f"SELECT count(*) FROM mailroom.{table}") == 0 and all(store.queue(uid) for uid in uids)


@pytest.mark.parametrize("kind", ["user", "row", "model"])
def test_what_nothing_waits_for_is_deleted_at_once(store, kind):
    store.administrator.save(kind, "IT")
    assert delete(store, kind, " IT ") == []
    with refused("MR002", "there is no "):
        delete(store, kind, "IT")


def test_standard_mail_that_only_named_a_form_does_not_keep_it(store):
    store.administrator.save("row", "INV")  # without an address
    store.producer.enqueue(form="INV", user="ANNA")
    assert delete(store, "row", "INV") == []


def test_a_user_is_kept_by_what_their_outlook_is_to_send_and_not_by_what_general_sends(store):
    store.administrator.save("user", "ANNA")
    store.administrator.save("row", "INV", mode="general", from_="inv@x.test")
    store.producer.enqueue(form="INV", user="ANNA")
    store.administrator.save("row", "INV", mode="outlook")
    with refused("MR007", "needed by 1 message"):
        delete(store, "user", "ANNA")
    store.administrator.save("row", "INV", mode="general")
    assert delete(store, "user", "ANNA") == []


def test_a_deletion_has_what_waits_judged_again(store):
    store.administrator.save("user", "ANNA")
    anna = store.root.value("SELECT id FROM mailroom.users")
    place = store.place(owners=[f"user:{anna}"])
    before = store.version
    delete(store, "user", "ANNA")
    assert store.version > before and store.root.value("SELECT release_before IS NOT NULL FROM mailroom.place WHERE id = %s", place)
