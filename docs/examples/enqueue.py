"""What an ERP does with its mail, by psycopg2 (Debian: python3-psycopg2). tables.sql stands for the ERP's own tables."""

import base64
import json
import sys

import psycopg2


def enqueue(cursor, message):
    """The message's uid. It is sent if the cursor's transaction is committed, and only then."""
    cursor.execute("SELECT mailroom.enqueue(%s)::text", [json.dumps(message)])
    return cursor.fetchone()[0]


def book_invoice(connection, number, customer, pdf):
    with connection, connection.cursor() as cursor:  # commits at its end; an exception rolls back
        uid = enqueue(cursor, {
            "user": "ANNA",
            "to": customer,
            "subject": f"Your invoice {number}",
            "text": "Please find your invoice attached.\n",
            "document": f"invoice/{number}",
            "attachments": [{"name": f"invoice {number}.pdf", "type": "application/pdf", "content": base64.b64encode(pdf).decode()}],
        })
        cursor.execute("INSERT INTO invoice (number, customer, mail) VALUES (%s, %s, %s)", [number, customer, uid])
    return uid


def remind(connection, batch, customers, terms):
    """One message for each customer, all or none; the PDF that they share is stored once."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT mailroom.put_attachment('terms.pdf', 'application/pdf', %s)", [terms])
        defaults = {"form": "STATEMENT", "batch": batch, "subject": "A reminder", "text": "Please look at your statement.\n",
                    "attachments": [cursor.fetchone()[0]]}
        messages = [json.dumps({"to": customer, "idempotency_key": f"{batch}/{customer}"}) for customer in customers]
        cursor.execute("SELECT mailroom.enqueue_many(%s, %s::jsonb[])::text[]", [json.dumps(defaults), messages])
        return cursor.fetchone()[0]


def ask(connection, function, uid):
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT mailroom.{function}(%s)", [uid])
        return cursor.fetchone()[0]


def read_outcomes(connection):
    """Stores what became of the ERP's mail since the last call, each page together with its cursor. Returns how many."""
    count, more = 0, True
    while more:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT position FROM mail_cursor FOR UPDATE")  # one reader at a time
            cursor.execute("SELECT mailroom.outcomes(%s, 1000)", cursor.fetchone())
            answer = cursor.fetchone()[0]
            for outcome in answer["outcomes"]:
                cursor.execute("INSERT INTO mail_outcome (uid, event, at, told) VALUES (%s, %s, %s, %s)",
                               [outcome["uid"], outcome["event"], outcome["at"], json.dumps(outcome)])
            cursor.execute("UPDATE mail_cursor SET position = %s", [answer["cursor"]])
        count += len(answer["outcomes"])
        more = answer["more"]
    return count


def main():
    connection = psycopg2.connect(sys.argv[1])  # "host=db1 dbname=erp user=erp"
    uid = book_invoice(connection, 4711, "Zoë Müller <zoe@customer.example>", b"%PDF-1.4 ...")
    print("invoice 4711:", uid, ask(connection, "state", uid)["state"])
    for number, customer in [(4711, "zoe@customer.example"), (4712, "nobody")]:  # booked already; no address
        try:
            book_invoice(connection, number, customer, b"%PDF-1.4 ...")
        except psycopg2.Error as error:  # neither booked nor sent
            print(f"invoice {number}:", error.pgcode, error.diag.message_detail)
    print("reminders:", len(remind(connection, "reminders 2026-03", ["zoe@customer.example", "ben@customer.example"], b"%PDF-1.4 ...")))
    print("cancel:", ask(connection, "cancel", uid))
    print("outcomes:", read_outcomes(connection))


main()
