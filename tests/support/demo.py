"""The demonstration behind `./dev demo`: an ERP's mail leaves a private PostgreSQL and arrives at a private Postfix.

Exit code 0 means that everything was as it should be: what arrived is compared with what the ERP had enqueued.
"""

import argparse
import base64
import contextlib
import os
import shlex
import sys
import time
from collections import Counter
from email.utils import parseaddr
from pathlib import Path

import psycopg2
import psycopg2.extras

from certificates import Certificates
from machine import Unavailable, private_directory, tail, wait_until
from mailroom_program import Mailroom
from postfix import PrivatePostfix
from postgres import PrivatePostgres

STATEMENTS = 500
SHARED = "erp@nordwind.example"  # General's shared account
ANNA = "anna@nordwind.example"
BEN = "ben@nordwind.example"
UNKNOWN = "nobody@customer.example"  # Postfix knows everybody but nobody@
CUSTOMER = ("Zoë Müller-Lüdenscheid", "zoe@customer.example")
SUBJECT = "Rechnung 4711 für Zoë – fällig am 30. März"
PDF_NAME = "Rechnung 4711 – Müller.pdf"

ERP_TABLES = """
CREATE SCHEMA erp AUTHORIZATION erp;
SET ROLE erp;
CREATE TABLE erp.customer (id integer PRIMARY KEY, name text NOT NULL, email text NOT NULL);
CREATE TABLE erp.invoice (id integer PRIMARY KEY, customer text NOT NULL, amount numeric NOT NULL, mail uuid NOT NULL);
INSERT INTO erp.customer SELECT n, 'Customer Nº ' || n, 'customer-' || n || '@customers.example' FROM generate_series(1, %s) n;
"""

STATEMENTS_SQL = """
SELECT mailroom.enqueue(jsonb_build_object(
    'form', 'STATEMENT', 'user', 'ANNA', 'batch', 'statements 2026-03',
    'to', jsonb_build_object('name', c.name, 'address', c.email),
    'subject', 'Your statement for March',
    'text', format(E'Dear %s,\\n\\nyour balance is 0.00.\\n', c.name)))
  FROM erp.customer c
"""


# ---------------------------------------------------------------- how it speaks

class Talk:
    """Headings, lines, one line of progress that rewrites itself on a terminal, and the count of what went wrong."""

    def __init__(self):
        self.started = time.monotonic()
        self.failures = 0
        self._live = sys.stdout.isatty()
        self._shown_at = 0.0
        self._shown = ""

    def step(self, text):
        print(f"\n== {text}", flush=True)

    def say(self, text=""):
        print("   " + text if text else "", flush=True)

    def progress(self, text, last=False):
        if self._live:
            print(f"\r   {text}\x1b[K", end="\n" if last else "", flush=True)
        elif text != self._shown and (last or time.monotonic() - self._shown_at >= 1):
            self.say(text)
            self._shown, self._shown_at = text, time.monotonic()

    def check(self, what, is_so):
        self.failures += not is_so
        self.say(f"{'ok    ' if is_so else 'WRONG '} {what}")


# ---------------------------------------------------------------- the stage

class Stage:
    """PostgreSQL, Postfix and mailroom, all private, on ports and folders of their own."""

    def __init__(self, executable, servers):
        self.certificates = Certificates()
        self.postgres = servers.enter_context(PrivatePostgres())
        self.postfix = servers.enter_context(PrivatePostfix(
            self.certificates.server("localhost"), refused={UNKNOWN: "550 5.1.1 User unknown"}))
        self.database = "erp"
        self.directory = private_directory("demo")
        self.logins = {name: self.postgres.create_role(name, "CREATEROLE" if name == "owner" else "")
                       for name in ("owner", "erp", "mobile", "mailroom")}
        self.postgres.create_database(self.database, owner="owner")
        self.mailroom = servers.enter_context(Mailroom(
            executable, self.dsn("mailroom"), self.certificates.ca_file, self.directory,
            {"installation": {"name": "demo", "domain": "nordwind.example"}}))

    def dsn(self, login):
        return self.postgres.dsn(login, self.logins[login], self.database)

    def connect(self, login, autocommit=False):
        return self.postgres.connect(login, self.logins[login], self.database, autocommit=autocommit)

    def as_superuser(self, statement, parameters=None):
        self.postgres.execute(statement, parameters, self.database)

    def install(self):
        """What an administrator does once: a key, the schema, the logins' roles."""
        self.mailroom.run("config", "new-key", self.mailroom.key_file)
        self.mailroom.run("--database", self.dsn("owner"), "migrate")
        self.as_superuser("GRANT mailroom_producer TO erp")
        self.as_superuser("GRANT mailroom_mobile TO mobile")
        self.as_superuser("GRANT mailroom_worker, mailroom_operator, mailroom_administrator TO mailroom")
        self.as_superuser(ERP_TABLES, (STATEMENTS,))

    def configure(self, talk):
        """The mail settings, by the command line; the ERP's screens would do the same by SQL."""

        def account(*words, password=None):
            talk.say("$ mailroom account " + shlex.join(words) + (" < password" if password else ""))
            self.mailroom.run("account", *words, input=password and password + "\n")

        account("set", "general", "mode=smtp", "default_user_mode=smtp", "server=localhost", f"port={self.postfix.port}",
                f"account={SHARED}", "from=Nordwind AG <office@nordwind.example>")
        account("password", "general", password=self.postfix.add_user(SHARED))
        account("set", "user", "ANNA", "from=Anna Škoda <anna@nordwind.example>", f"account={ANNA}")
        account("password", "user", "ANNA", password=self.postfix.add_user(ANNA))
        account("set", "user", "BEN", f"email={BEN}")
        self.bens_password = self.postfix.add_user(BEN)
        talk.say("(BEN gets no password: his mail will have to wait)")
        account("set", "form", "STATEMENT", "from=Nordwind Accounts <accounts@nordwind.example>", "mode=general")
        account("set", "model", "DISPATCH", "from=dispatch@nordwind.example", "mode=general")


# ---------------------------------------------------------------- what the ERP does

def small_pdf(text):
    """One page, valid: a header, five objects, a table of where they are."""
    page = f"BT /F1 24 Tf 72 720 Td ({text}) Tj ET".encode("latin-1")
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
               b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
               b"<< /Length %d >>\nstream\n%s\nendstream" % (len(page), page),
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"]
    pdf, offsets = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(pdf))
        pdf += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return pdf + (b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
                  % (len(objects) + 1, table, len(objects) + 1, len(pdf)))


class Erp:
    """Enqueues as a real one would: by SQL, in the transaction in which it books. Keeps the uids by a short name."""

    def __init__(self, stage):
        self.stage = stage
        self.pdf = small_pdf("Rechnung 4711: 1.234,50 EUR, f\xe4llig am 30. M\xe4rz")
        self.uids = {}

    def enqueue(self, name, login="erp", **message):
        with contextlib.closing(self.stage.connect(login)) as connection, connection, connection.cursor() as cursor:
            self.uids[name] = enqueue(cursor, message)

    def invoice(self):
        """The invoice and its mail are one transaction."""
        with contextlib.closing(self.stage.connect("erp")) as connection, connection, connection.cursor() as cursor:
            self.uids["invoice"] = enqueue(cursor, {
                "user": "ANNA", "to": {"name": CUSTOMER[0], "address": CUSTOMER[1]}, "subject": SUBJECT, "document": "invoice 4711",
                "text": "Guten Tag,\n\nanbei Ihre Rechnung. Schöne Grüße\n", "html": "<p>Guten Tag, anbei Ihre <b>Rechnung</b>. Schöne Grüße</p>",
                "attachments": [{"name": PDF_NAME, "type": "application/pdf", "content": base64.b64encode(self.pdf).decode()}]})
            cursor.execute("INSERT INTO erp.invoice VALUES (4711, %s, 1234.50, %s)", (CUSTOMER[0], self.uids["invoice"]))

    def rolled_back_invoice(self):
        with contextlib.closing(self.stage.connect("erp")) as connection, connection.cursor() as cursor:
            self.uids["rolled back"] = enqueue(cursor, {"user": "ANNA", "to": "never@customer.example", "subject": "Invoice 4712", "text": "No."})
            connection.rollback()

    def statements(self):
        with contextlib.closing(self.stage.connect("erp")) as connection, connection, connection.cursor() as cursor:
            cursor.execute(STATEMENTS_SQL)
            return cursor.rowcount


def enqueue(cursor, message):
    cursor.execute("SELECT mailroom.enqueue(%s)", [psycopg2.extras.Json(message)])
    return str(cursor.fetchone()[0])


def play_the_erp(erp, talk):
    talk.say(f"an invoice with a PDF, from user ANNA to {CUSTOMER[0]}: one transaction with the ERP's own INSERT")
    erp.invoice()
    talk.say("a second invoice, whose transaction is rolled back: it must send nothing")
    erp.rolled_back_invoice()
    talk.say("a dispatch order by the model DISPATCH")
    erp.enqueue("dispatch", user="BEN", model="DISPATCH", to="driver@haulier.example", subject="Pick up 12 pallets", text="Gate 3, 14:00.")
    talk.say("a note by the MOBILE backend, with its own login: what it posts is MOBILE's, whatever it says")
    erp.enqueue("mobile", login="mobile", user="ANNA", to=CUSTOMER[1], subject="Our technician is on the way", text="About 20 minutes.")
    talk.say("a letter from user BEN, who has no password yet: it must wait, and say why")
    erp.enqueue("ben", user="BEN", to="supplier@supplier.example", subject="Order 77", text="Please deliver 40 boxes.")
    talk.say("an offer to two people, one of whom the server does not know")
    erp.enqueue("offer", user="ANNA", to=["buyer@customer.example", UNKNOWN], subject="Our offer", text="As discussed.")
    started = time.monotonic()
    count = erp.statements()
    talk.say(f"{count} statements by the form STATEMENT: one SQL statement, one batch, {time.monotonic() - started:.1f} s")


# ---------------------------------------------------------------- what becomes of it

def watch(stage, talk, expected, timeout=50):
    """Shows the queue until all has ended or is held, and all that was sent lies in Postfix's mailbox."""
    with contextlib.closing(stage.connect("mailroom", autocommit=True)) as connection, connection.cursor() as cursor:

        def counts():
            cursor.execute("SELECT state, count(*) FROM mailroom.depth GROUP BY 1 UNION ALL SELECT 'ended', count(*) FROM mailroom.log")
            now = Counter(dict(cursor.fetchall()))
            held = now.pop("held", 0)
            ended = now.pop("ended", 0)
            return f"{stage.postfix.count():4} of {expected} arrived | {now.total()} in the queue, {held} held, {ended} ended", now.total()

        def settled():
            text, waiting = counts()
            talk.progress(text)
            return waiting == 0 and stage.postfix.count() >= expected

        try:
            wait_until(settled, timeout, "the end of all messages", every=0.1)
        except TimeoutError as late:
            talk.progress(counts()[0], last=True)
            talk.check(str(late), False)
            return
        talk.progress(counts()[0], last=True)


def show_arrived(stage, erp, talk):
    arrived = stage.postfix.messages()
    kinds = Counter((str(one.message["From"]), str(one.message["Sender"] or "-"), one.sender) for one in arrived)
    talk.say(f"{'FROM':<46} {'SENDER':<22} {'ENVELOPE SENDER':<24} MESSAGES")
    for (author, sender, envelope), count in kinds.most_common():
        talk.say(f"{author:<46} {sender:<22} {envelope:<24} {count:>8}")
    talk.say()
    expected = Counter({
        ("Nordwind Accounts <accounts@nordwind.example>", SHARED, SHARED): STATEMENTS,  # the form's address, by the shared account
        ("Anna Škoda <anna@nordwind.example>", "-", ANNA): 2,
        ("dispatch@nordwind.example", SHARED, SHARED): 1,
        ("Nordwind AG <office@nordwind.example>", SHARED, SHARED): 1})
    talk.check("each kind of mail came from the right sender, as often as it should", kinds == expected)
    statements = Counter(one.recipient for one in arrived if one.message["Subject"] == "Your statement for March")
    everybody = {f"customer-{n}@customers.example": 1 for n in range(1, STATEMENTS + 1)}
    talk.check(f"each of {STATEMENTS} customers got one statement, nobody two", statements == Counter(everybody))
    talk.check("the invoice that was rolled back sent nothing", not any(one.recipient == "never@customer.example" for one in arrived))
    check_invoice([one for one in arrived if one.recipient == CUSTOMER[1] and one.message.is_multipart()], erp, talk)


def check_invoice(found, erp, talk):
    talk.check("the invoice arrived once", len(found) == 1)
    for one in found:
        message, uid = one.message, erp.uids["invoice"]
        [pdf] = list(message.iter_attachments()) or [message]
        octets = pdf.get_payload(decode=True)
        talk.check(f"its subject: {message['Subject']}", message["Subject"] == SUBJECT)
        talk.check(f"its recipient: {message['To']}", parseaddr(str(message["To"])) == CUSTOMER)
        talk.check(f"its PDF: {pdf.get_filename()}, {len(octets)} octets, identical to the ERP's",
                   octets == erp.pdf and pdf.get_filename() == PDF_NAME and pdf.get_content_type() == "application/pdf")
        talk.check(f"its Message-ID: {message['Message-ID']}, by the uid that the ERP was given",
                   message["Message-ID"] == f"<{uid}@nordwind.example>")


def show_held(stage, erp, talk):
    holds = stage.mailroom.json("queue")["holds"]
    for hold in holds:
        talk.say(f"{hold['messages']} message: {hold['reason']} ({hold['subject']})")
        talk.say(f"what to do: {hold['remedy']}")
    story = stage.mailroom.json("show", erp.uids["ben"])
    talk.check("BEN's letter waits for his password; it was not sent as somebody else",
               [hold["reason"] for hold in holds] == ["config_incomplete"] and story["state"] == "held"
               and story["subject"] == "user BEN: Password")


def show_refused(stage, erp, talk):
    story = stage.mailroom.json("show", erp.uids["offer"])
    for recipient in story["recipients"]:
        words = " ".join(str(recipient[key]) for key in ("code", "enhanced", "reply") if recipient[key]) if recipient["state"] == "refused" else ""
        talk.say(f"{recipient['address']:<28} {recipient['state']:<10} {words}".rstrip())
    states = {recipient["address"]: recipient["state"] for recipient in story["recipients"]}
    talk.check("the offer went to the one and was refused for the other, with the server's words",
               story["state"] == "partly_sent" and states == {"buyer@customer.example": "accepted", UNKNOWN: "refused"})


def show_story(stage, uid, talk):
    talk.say(f"$ mailroom show {uid}")
    for line in stage.mailroom.run("show", uid).out.splitlines():
        talk.say(line)


def show_commands(stage, erp, keeping, talk):
    settings = f"export MAILROOM_CONFIG={stage.mailroom.config_file}"
    program = shlex.quote(str(stage.mailroom.executable)) if keeping else "mailroom"
    commands = [
        ("what waits, where and why", f"{program} queue"),
        ("the story of the offer", f"{program} show {erp.uids['offer']}"),
        ("why BEN's letter waits", f"{program} show {erp.uids['ben']}"),
        ("who sends by which account", f"{program} account list")]
    if keeping:
        talk.step("To look further, in another shell (as root)")
        commands = [("where mailroom finds its settings file", settings), *commands,
                    ("BEN gets his password, and his letter goes", f"echo {stage.bens_password} | {program} account password user BEN"),
                    ("the ERP's own door: try SELECT mailroom.enqueue('{}')", f"psql '{stage.dsn('erp')}'"),
                    ("the mail that arrived", f"ls {stage.postfix.directory}/mail/box/new"),
                    ("the daemon's log", f"tail -f {stage.directory}/serve-1.log")]
    else:
        talk.step("To look further: ./dev demo --keep leaves all this running until you press Enter, for commands such as")
    for what, command in commands:
        talk.say(f"# {what}")
        talk.say(command)
    talk.say('docs/erp.md, "Fields of a message", has all of them.')


# ---------------------------------------------------------------- the play

def play(arguments, talk):
    with contextlib.ExitStack() as servers:
        talk.step("Starting a private PostgreSQL, and a private Postfix with STARTTLS and logins that keeps what arrives")
        stage = Stage(Path(arguments.build).resolve() / "service" / "mailroom", servers)
        talk.say(f"PostgreSQL at 127.0.0.1:{stage.postgres.port}, Postfix at localhost:{stage.postfix.port}")
        talk.step("Installing: a key for passwords, the schema (mailroom migrate), a login each for ERP, MOBILE and mailroom")
        stage.install()
        talk.step("Mail settings: the shared account, two users, a form and a dispatch model with addresses of their own")
        stage.configure(talk)
        talk.step("Starting the daemon (mailroom serve)")
        daemon = stage.mailroom.start()
        talk.say(daemon.log().strip().splitlines()[-1])

        talk.step("The ERP enqueues, in its own transactions")
        erp = Erp(stage)
        enqueued = time.monotonic()
        play_the_erp(erp, talk)
        talk.step("The mail leaves")
        watch(stage, talk, expected=STATEMENTS + 4)
        talk.say(f"{time.monotonic() - enqueued:.1f} s from the first enqueue to the last arrival")
        talk.step("What arrived")
        show_arrived(stage, erp, talk)
        talk.step("What is held, and why")
        show_held(stage, erp, talk)
        talk.step("What was refused")
        show_refused(stage, erp, talk)
        talk.step("The story of the invoice: who sends it, by which row of docs/rules.md, and the server's words")
        show_story(stage, erp.uids["invoice"], talk)
        show_commands(stage, erp, arguments.keep, talk)
        if talk.failures:
            print(f"\n--- the daemon's log\n{tail(daemon.log_file, 40)}")
        if arguments.keep:
            wait_for_enter(talk)
        talk.step("Stopping")
        talk.check("the daemon stopped in order", daemon.stop() == 0)


def wait_for_enter(talk):
    talk.step("All servers run until you press Enter")
    sys.stdin.readline()


def main():
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="keep all servers running until Enter is pressed")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    if os.geteuid() != 0:
        sys.exit("./dev demo: Postfix can only be started by root: run it as root or with sudo")
    talk = Talk()
    try:
        play(arguments, talk)
    except Unavailable as lacking:
        sys.exit(f"./dev demo: {lacking}")
    except KeyboardInterrupt:
        print("\ninterrupted; the servers were stopped")
        sys.exit(130)
    talk.step(f"{time.monotonic() - talk.started:.0f} s in all; nothing is left running")
    if talk.failures:
        print(f"{talk.failures} of it was WRONG: see above")
        sys.exit(1)
    print("Everything was as it should be.")


if __name__ == "__main__":
    main()
