-- What couriers carry. Kept by Kafka partition, like all sums, and summed in the view.
CREATE TABLE courier_stats_shard (
  courier     text        NOT NULL,
  currency    text        NOT NULL,
  part        integer     NOT NULL,
  orders      bigint      NOT NULL, -- dispatched
  total_minor bigint      NOT NULL, -- of these orders
  last_at     timestamptz NOT NULL, -- when the newest of them was dispatched
  CONSTRAINT courier_stats_shard_pkey PRIMARY KEY (courier, currency, part)
) WITH (fillfactor = 70);

CREATE VIEW courier_stats AS
SELECT courier,
       currency,
       sum(orders)::bigint      AS orders,
       sum(total_minor)::bigint AS total_minor,
       max(last_at)             AS last_at
FROM courier_stats_shard
GROUP BY courier, currency;

GRANT SELECT, INSERT, UPDATE ON courier_stats_shard TO readmodel_projector;
GRANT SELECT ON courier_stats_shard, courier_stats TO readmodel_reader, readmodel_projector;

-- Written from now on if that is from the first event on. Otherwise projector rebuild begins with it.
INSERT INTO read_models
SELECT 'courier_stats'
WHERE NOT EXISTS (SELECT FROM projection_offsets WHERE next_offset > 0);
