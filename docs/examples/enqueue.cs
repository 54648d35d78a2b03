// What an ERP does with its mail, by ADO.NET's common classes. tables.sql stands for the ERP's own tables.
// With Npgsql, Open and Marker are what its comments say, and nothing else differs.
using System;
using System.Data;
using System.Data.Common;
using System.Data.Odbc; // using Npgsql;
using System.Linq;

static class Example
{
    static DbConnection Open(string text)
    {
        var connection = new OdbcConnection(text); // new NpgsqlConnection("Host=db1;Database=erp;Username=erp;Include Error Detail=true")
        connection.Open();
        return connection;
    }

    static string Marker(int number)
    {
        return "?"; // "$" + number
    }

    // The first column of the first row. {0}, {1} ... stand for the parameters, each used once and in this order.
    static object Ask(DbConnection connection, DbTransaction transaction, string sql, params object[] parameters)
    {
        using (var command = connection.CreateCommand())
        {
            command.Transaction = transaction;
            command.CommandText = string.Format(sql, Enumerable.Range(1, parameters.Length).Select(Marker).ToArray());
            foreach (var value in parameters)
            {
                var parameter = command.CreateParameter();
                parameter.Value = value;
                command.Parameters.Add(parameter);
            }
            return command.ExecuteScalar();
        }
    }

    // PostgreSQL makes the JSON, so that no text has to be escaped here. The mail is sent if this is committed, and only then.
    static string BookInvoice(DbConnection connection, int number, string customer, byte[] pdf)
    {
        using (var transaction = connection.BeginTransaction()) // Dispose rolls back what was not committed
        {
            var uid = (string)Ask(connection, transaction, @"SELECT mailroom.enqueue(jsonb_build_object(
                    'user', 'ANNA',
                    'to', {0}::text,
                    'subject', {1}::text,
                    'text', E'Please find your invoice attached.\n',
                    'document', {2}::text,
                    'attachments', jsonb_build_array(jsonb_build_object(
                        'name', {3}::text, 'type', 'application/pdf', 'content', {4}::text))))::text",
                customer, "Your invoice " + number, "invoice/" + number, "invoice " + number + ".pdf", Convert.ToBase64String(pdf));
            Ask(connection, transaction, "INSERT INTO invoice (number, customer, mail) VALUES ({0}, {1}, {2}::uuid)", number, customer, uid);
            transaction.Commit();
            return uid;
        }
    }

    // One message for each customer, all or none; the PDF that they share is stored once. Returns how many.
    static int Remind(DbConnection connection, string batch, string[] customers, byte[] terms)
    {
        using (var transaction = connection.BeginTransaction())
        {
            var file = (string)Ask(connection, transaction,
                "SELECT mailroom.put_attachment('terms.pdf', 'application/pdf', decode({0}, 'base64'))::text", Convert.ToBase64String(terms));
            var count = (int)Ask(connection, transaction, @"SELECT cardinality(mailroom.enqueue_many(
                    jsonb_build_object('form', 'STATEMENT', 'batch', {0}::text, 'subject', 'A reminder',
                                       'text', E'Please look at your statement.\n', 'attachments', jsonb_build_array({1}::jsonb)),
                    ARRAY(SELECT jsonb_build_object('to', customer, 'idempotency_key', {2} || '/' || customer)
                            FROM unnest(string_to_array({3}, E'\n')) customer)))",
                batch, file, batch, string.Join("\n", customers));
            transaction.Commit();
            return count;
        }
    }

    // Stores what became of the ERP's mail since the last call, each page together with its cursor. Returns how many.
    static int ReadOutcomes(DbConnection connection)
    {
        var count = 0;
        for (var more = true; more;)
        {
            using (var transaction = connection.BeginTransaction())
            {
                var position = Ask(connection, transaction, "SELECT position FROM mail_cursor FOR UPDATE"); // one reader at a time
                var answer = (string)Ask(connection, transaction, "SELECT mailroom.outcomes({0}::text, 1000)::text", position);
                count += (int)Ask(connection, transaction, @"
                    WITH answer AS (SELECT {0}::jsonb AS a),
                    stored AS (INSERT INTO mail_outcome (uid, event, at, told)
                               SELECT (o ->> 'uid')::uuid, o ->> 'event', (o ->> 'at')::timestamptz, o
                                 FROM answer, jsonb_array_elements(a -> 'outcomes') o),
                    moved AS (UPDATE mail_cursor SET position = a ->> 'cursor' FROM answer)
                    SELECT jsonb_array_length(a -> 'outcomes') FROM answer", answer);
                more = (string)Ask(connection, transaction, "SELECT {0}::jsonb ->> 'more'", answer) == "true";
                transaction.Commit();
            }
        }
        return count;
    }

    static void Main(string[] arguments)
    {
        var pdf = new byte[] { 0x25, 0x50, 0x44, 0x46 };
        using (var connection = Open(arguments[0]))
        {
            var uid = BookInvoice(connection, 4711, "Zoë Müller <zoe@customer.example>", pdf);
            Console.WriteLine("invoice 4711: {0} {1}", uid, Ask(connection, null, "SELECT mailroom.state({0}::uuid) ->> 'state'", uid));
            foreach (var again in new[] { Tuple.Create(4711, "zoe@customer.example"), Tuple.Create(4712, "nobody") }) // booked already; no address
            {
                try
                {
                    BookInvoice(connection, again.Item1, again.Item2, pdf);
                }
                catch (DbException error) // neither booked nor sent. Npgsql: PostgresException, with SqlState and Detail
                {
                    Console.WriteLine("invoice {0}: {1}", again.Item1, error.Message);
                }
            }
            Console.WriteLine("reminders: {0}", Remind(connection, "reminders 2026-03", new[] { "zoe@customer.example", "ben@customer.example" }, pdf));
            Console.WriteLine("cancel: {0}", Ask(connection, null, "SELECT mailroom.cancel({0}::uuid)", uid));
            Console.WriteLine("outcomes: {0}", ReadOutcomes(connection));
        }
    }
}
