CREATE TABLE identity (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    name TEXT NOT NULL
);
