"""One database of a private cluster, with an owner of its own, for one test."""

import contextlib

from psycopg2 import extras, sql


class Database:
    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self.owner = name + "_owner"
        self.password = cluster.create_role(self.owner)
        cluster.create_database(name, self.owner)
        self.dsn = cluster.dsn(self.owner, self.password, name)

    def become_copy_of(self, other):
        """As if all that was done in `other` by its owner had been done here by this one's. Both must be without sessions."""
        names = {"here": sql.Identifier(self.name), "there": sql.Identifier(other.name), "owner": sql.Identifier(self.owner), "other": sql.Identifier(other.owner)}
        self.cluster.drop_database(self.name)
        self.cluster.execute(sql.SQL("CREATE DATABASE {here} TEMPLATE {there} OWNER {owner}").format(**names))
        self.cluster.execute(sql.SQL("REASSIGN OWNED BY {other} TO {owner}").format(**names), database=self.name)

    def connect(self, **more):
        """As the owner, in autocommit."""
        return self.cluster.connect(self.owner, self.password, self.name, **more)

    def rows(self, statement, parameters=None):
        """The rows of one statement as dicts, run by the owner outside a transaction; [] if it has none."""
        with contextlib.closing(self.connect()) as connection:
            with connection.cursor(cursor_factory=extras.RealDictCursor) as cursor:
                cursor.execute(statement, parameters)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def value(self, statement, parameters=None):
        """The only column of the only row."""
        [row] = self.rows(statement, parameters)
        [value] = row.values()
        return value

    def drop(self):
        self.cluster.drop_database(self.name)
        self.cluster.execute(f'DROP ROLE IF EXISTS "{self.owner}"')
