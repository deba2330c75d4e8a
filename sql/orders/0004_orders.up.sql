-- The current state of each order. It is the fold of the order's events in outbox, and is written with them (I1).
-- fillfactor: an order changes some eight times and no index covers what changes, so updates stay on the page (HOT).
CREATE TABLE orders (
    id          uuid        NOT NULL,
    customer_id integer     NOT NULL,
    fulfilment  text        NOT NULL,
    payment     text        NOT NULL,
    version     bigint      NOT NULL, -- the version of the last event; the optimistic lock (I2)
    total_minor bigint      NOT NULL, -- in the currency's minor unit
    currency    text        NOT NULL, -- ISO 4217
    state       jsonb       NOT NULL, -- all of the aggregate; the columns beside it are for looking at and for constraints
    placed_at   timestamptz NOT NULL, -- when the first event happened
    updated_at  timestamptz NOT NULL, -- when the last event happened
    CONSTRAINT orders_pkey PRIMARY KEY (id),
    CONSTRAINT orders_customer_exists FOREIGN KEY (customer_id) REFERENCES customers (id),
    CONSTRAINT orders_fulfilment_known CHECK (fulfilment IN (
        'placed', 'confirmed', 'accepted', 'preparing', 'ready', 'in_delivery',
        'completed', 'rejected', 'cancelled', 'delivery_failed', 'expired')),
    CONSTRAINT orders_payment_known CHECK (payment IN (
        'none', 'authorized', 'captured', 'voided', 'partially_refunded', 'refunded', 'failed')),
    CONSTRAINT orders_version_positive CHECK (version >= 1),
    CONSTRAINT orders_total_not_negative CHECK (total_minor >= 0),
    CONSTRAINT orders_currency_shape CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT orders_state_is_object CHECK (jsonb_typeof(state) = 'object')
) WITH (fillfactor = 70);

-- The event log: insert-only, one row per event. Its names are those that Debezium's outbox event router expects.
-- What the constraints refuse could never be published, and would stop everything behind it: an unbounded or broken
-- payload, a header that is not a string, a time that has no RFC 3339 form.
CREATE TABLE outbox (
    seq           bigint      NOT NULL GENERATED ALWAYS AS IDENTITY, -- order of insertion, not of commit
    id            uuid        NOT NULL, -- the event's id, UUIDv7
    aggregatetype text        NOT NULL,
    aggregateid   uuid        NOT NULL, -- the order; the Kafka record's key
    type          text        NOT NULL, -- what happened, and the version of its payload's schema
    version       bigint      NOT NULL, -- place in the order's history: 1..n without a hole (I2)
    payload       json        NOT NULL, -- json, not jsonb: the bytes stay as written, and become the record's value
    headers       json,                 -- an object of strings, or NULL
    occurred_at   timestamptz NOT NULL,
    CONSTRAINT outbox_pkey PRIMARY KEY (seq),
    CONSTRAINT outbox_id_unique UNIQUE (id),
    CONSTRAINT outbox_version_unique UNIQUE (aggregateid, version),
    CONSTRAINT outbox_version_positive CHECK (version >= 1),
    CONSTRAINT outbox_aggregatetype_known CHECK (aggregatetype = 'order'),
    CONSTRAINT outbox_type_shape CHECK (length(type) <= 100 AND type ~ '^[a-z_]+\.[a-z_]+\.v[1-9][0-9]*$'),
    CONSTRAINT outbox_payload_is_object CHECK (json_typeof(payload) = 'object'),
    CONSTRAINT outbox_payload_size CHECK (octet_length(payload::text) <= 524288),
    CONSTRAINT outbox_headers_are_strings CHECK (
        json_typeof(headers) = 'object'
        AND NOT jsonb_path_exists(headers::jsonb, 'strict $.* ? (@.type() != "string")')),
    CONSTRAINT outbox_headers_size CHECK (octet_length(headers::text) <= 16384),
    CONSTRAINT outbox_occurred_at_in_range CHECK (
        occurred_at >= '2000-01-01 00:00:00+00' AND occurred_at < '3000-01-01 00:00:00+00')
);

-- What a command with an idempotency key did, written in the command's own transaction (I12).
-- The answer is not kept: the log up to version gives it again.
CREATE TABLE idempotency_keys (
    key          text        NOT NULL,
    request_hash bytea       NOT NULL, -- SHA-256 of the request; another request under the same key is refused
    order_id     uuid        NOT NULL,
    version      bigint      NOT NULL, -- the order's version after the command
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT idempotency_keys_pkey PRIMARY KEY (key),
    CONSTRAINT idempotency_keys_key_length CHECK (length(key) BETWEEN 1 AND 255),
    CONSTRAINT idempotency_keys_request_hash_length CHECK (octet_length(request_hash) = 32),
    CONSTRAINT idempotency_keys_version_positive CHECK (version >= 1)
);

-- Inserts only: pruning old events must not reach the stream. Made before any slot: a slot decodes with the catalogue
-- as it was at each record, so a publication that is younger than the slot breaks the stream.
CREATE PUBLICATION outbox FOR TABLE outbox WITH (publish = 'insert');
