-- The read model: what the projector makes of the events, and which offsets it reflects (I8: both change in one
-- transaction). All times are event times. Every table is written by the projector alone.

DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['readmodel_projector', 'readmodel_reader', 'pipeline_monitor'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL; -- roles belong to the cluster: another database's migration made it in this moment
      END;
    END IF;
  END LOOP;
END
$$;

-- One row per partition: the position that the read model reflects, and who may move it.
CREATE TABLE projection_offsets (
  topic            text        NOT NULL,
  part             integer     NOT NULL,
  topic_id         uuid        NOT NULL, -- a topic made anew under the old name is another log
  next_offset      bigint      NOT NULL DEFAULT 0, -- last applied record's offset + 1
  leader_epoch     integer     NOT NULL DEFAULT -1, -- of the last applied record: shows whether the log was cut before it since
  owner_epoch      bigint      NOT NULL DEFAULT 0, -- raised by every claim
  claim            uuid        NOT NULL, -- random per claim: two histories with equal epochs (a restored backup) differ in it
  owner            text        NOT NULL, -- for people: host, pid and member
  applied_events   bigint      NOT NULL DEFAULT 0,
  duplicate_events bigint      NOT NULL DEFAULT 0, -- ignored because applied before; anything but 0 is a fault upstream
  updated_at       timestamptz NOT NULL DEFAULT now(), -- the only wall-clock column: when the row last changed
  CONSTRAINT projection_offsets_pkey PRIMARY KEY (topic, part),
  CONSTRAINT projection_offsets_part_range CHECK (part >= 0),
  CONSTRAINT projection_offsets_next_offset_range CHECK (next_offset >= 0),
  CONSTRAINT projection_offsets_counts_range CHECK (applied_events >= 0 AND duplicate_events >= 0)
) WITH (fillfactor = 70);

CREATE TABLE order_summary (
  order_id       uuid        NOT NULL,
  customer_id    integer     NOT NULL,
  service        text        NOT NULL,
  fulfilment     text        NOT NULL,
  payment        text        NOT NULL,
  version        bigint      NOT NULL, -- of the last applied event; the next one must be version + 1 (I9)
  total_minor    bigint      NOT NULL,
  captured_minor bigint      NOT NULL,
  refunded_minor bigint      NOT NULL,
  tip_minor      bigint      NOT NULL,
  currency       text        NOT NULL,
  lines          json        NOT NULL,
  rating         integer,              -- stars; NULL until rated
  placed_at      timestamptz NOT NULL,
  updated_at     timestamptz NOT NULL, -- time of the last event
  CONSTRAINT order_summary_pkey PRIMARY KEY (order_id),
  CONSTRAINT order_summary_version_range CHECK (version >= 1),
  CONSTRAINT order_summary_currency_shape CHECK (length(currency) = 3)
) WITH (fillfactor = 75);

-- No index on a column that events change: updates stay heap-only.
CREATE INDEX order_summary_customer ON order_summary (customer_id, placed_at DESC, order_id);

-- One row per event. The primary key is also the last defence against an event applied twice.
CREATE TABLE order_timeline (
  order_id uuid        NOT NULL,
  version  bigint      NOT NULL,
  event_id uuid        NOT NULL,
  type     text        NOT NULL,
  at       timestamptz NOT NULL,
  CONSTRAINT order_timeline_pkey PRIMARY KEY (order_id, version)
);

-- Sums are kept per Kafka partition, so that two partitions never wait for one row, and summed in the view.
CREATE TABLE customer_stats_shard (
  customer_id    integer     NOT NULL,
  currency       text        NOT NULL,
  part           integer     NOT NULL,
  orders         bigint      NOT NULL, -- placed
  completed      bigint      NOT NULL, -- delivered or collected
  cancelled      bigint      NOT NULL,
  spent_minor    bigint      NOT NULL, -- captured
  refunded_minor bigint      NOT NULL, -- issued
  tips_minor     bigint      NOT NULL,
  last_order_at  timestamptz NOT NULL, -- when the newest order was placed
  CONSTRAINT customer_stats_shard_pkey PRIMARY KEY (customer_id, currency, part)
) WITH (fillfactor = 70);

CREATE VIEW customer_stats AS
SELECT customer_id,
       currency,
       sum(orders)::bigint         AS orders,
       sum(completed)::bigint      AS completed,
       sum(cancelled)::bigint      AS cancelled,
       sum(spent_minor)::bigint    AS spent_minor,
       sum(refunded_minor)::bigint AS refunded_minor,
       sum(tips_minor)::bigint     AS tips_minor,
       max(last_order_at)          AS last_order_at
FROM customer_stats_shard
GROUP BY customer_id, currency;

-- A row stays, with zeros, when an order's lines change and the item is no longer in any order of the hour.
CREATE TABLE item_popularity_shard (
  hour          timestamptz NOT NULL, -- UTC hour in which the orders were placed
  item_id       integer     NOT NULL,
  currency      text        NOT NULL,
  part          integer     NOT NULL,
  orders        bigint      NOT NULL, -- that hold the item
  quantity      bigint      NOT NULL,
  revenue_minor bigint      NOT NULL, -- quantity times unit price
  CONSTRAINT item_popularity_shard_pkey PRIMARY KEY (hour, item_id, currency, part)
) WITH (fillfactor = 70);

CREATE VIEW item_popularity AS
SELECT hour,
       item_id,
       currency,
       sum(orders)::bigint        AS orders,
       sum(quantity)::bigint      AS quantity,
       sum(revenue_minor)::bigint AS revenue_minor
FROM item_popularity_shard
GROUP BY hour, item_id, currency;

CREATE TABLE revenue_minute_shard (
  minute         timestamptz NOT NULL, -- UTC minute in which the events occurred
  currency       text        NOT NULL,
  part           integer     NOT NULL,
  orders         bigint      NOT NULL, -- placed
  gross_minor    bigint      NOT NULL, -- captured
  refunded_minor bigint      NOT NULL, -- issued
  tips_minor     bigint      NOT NULL,
  cancelled      bigint      NOT NULL,
  CONSTRAINT revenue_minute_shard_pkey PRIMARY KEY (minute, currency, part)
) WITH (fillfactor = 70);

CREATE VIEW revenue_minute AS
SELECT minute,
       currency,
       sum(orders)::bigint         AS orders,
       sum(gross_minor)::bigint    AS gross_minor,
       sum(refunded_minor)::bigint AS refunded_minor,
       sum(tips_minor)::bigint     AS tips_minor,
       sum(cancelled)::bigint      AS cancelled
FROM revenue_minute_shard
GROUP BY minute, currency;

-- The orders in the kitchen now: a row exists only while the order is accepted, preparing or ready.
CREATE TABLE kitchen_board (
  order_id    uuid        NOT NULL,
  state       text        NOT NULL,
  items       bigint      NOT NULL, -- sum of the lines' quantities
  promised_at timestamptz NOT NULL, -- the kitchen's promise when it accepted
  since       timestamptz NOT NULL, -- time of the event that set the state
  CONSTRAINT kitchen_board_pkey PRIMARY KEY (order_id),
  CONSTRAINT kitchen_board_state_known CHECK (state IN ('accepted', 'preparing', 'ready'))
) WITH (fillfactor = 70);

-- The projector changes rows, never the schema, and never takes back what the timeline says.
GRANT SELECT, INSERT, UPDATE ON projection_offsets, order_summary, customer_stats_shard, item_popularity_shard,
  revenue_minute_shard TO readmodel_projector;
GRANT SELECT, INSERT ON order_timeline TO readmodel_projector;
GRANT SELECT, INSERT, UPDATE, DELETE ON kitchen_board TO readmodel_projector;
GRANT SELECT ON projection_offsets, order_summary, order_timeline, customer_stats_shard, customer_stats,
  item_popularity_shard, item_popularity, revenue_minute_shard, revenue_minute, kitchen_board
  TO readmodel_reader, readmodel_projector;
GRANT SELECT ON projection_offsets TO pipeline_monitor;

-- The tool that runs migrations keeps its version here; every program reads it at start. Absent when this file is run by hand.
DO $$
BEGIN
  IF to_regclass('schema_migrations') IS NOT NULL THEN
    GRANT SELECT ON schema_migrations TO readmodel_projector, readmodel_reader, pipeline_monitor;
  END IF;
END
$$;
