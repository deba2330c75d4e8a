-- The read model out of copied events, in plain SQL: a second opinion on its definitions, which shares no code with the
-- projector or the audit. src holds the events that it shall reflect.
INSERT INTO order_timeline (order_id, version, event_id, type, at)
SELECT aggregateid, version, id, type, occurred_at
FROM src;

CREATE TEMP TABLE placed ON COMMIT DROP AS
SELECT aggregateid AS order_id, part, occurred_at AS at, (payload ->> 'customer_id')::int AS customer_id,
       payload ->> 'service' AS service, payload -> 'total' ->> 'currency' AS currency
FROM src
WHERE type = 'order.placed.v1';

CREATE TEMP TABLE basket ON COMMIT DROP AS
SELECT DISTINCT ON (aggregateid) aggregateid AS order_id, payload -> 'lines' AS lines,
       (payload -> 'total' ->> 'minor')::bigint AS total
FROM src
WHERE type IN ('order.placed.v1', 'order.lines_changed.v1')
ORDER BY aggregateid, version DESC;

CREATE TEMP TABLE fulfilled ON COMMIT DROP AS
SELECT DISTINCT ON (aggregateid) aggregateid AS order_id, occurred_at AS since,
       CASE type
           WHEN 'order.placed.v1' THEN 'placed'
           WHEN 'payment.authorized.v1' THEN 'confirmed'
           WHEN 'order.accepted.v1' THEN 'accepted'
           WHEN 'order.rejected.v1' THEN 'rejected'
           WHEN 'order.preparation_started.v1' THEN 'preparing'
           WHEN 'order.ready.v1' THEN 'ready'
           WHEN 'order.dispatched.v1' THEN 'in_delivery'
           WHEN 'order.cancelled.v1' THEN 'cancelled'
           WHEN 'order.expired.v1' THEN 'expired'
           WHEN 'order.delivery_failed.v1' THEN 'delivery_failed'
           ELSE 'completed'
       END AS state
FROM src
WHERE type IN ('order.placed.v1', 'payment.authorized.v1', 'order.accepted.v1', 'order.rejected.v1',
               'order.preparation_started.v1', 'order.ready.v1', 'order.dispatched.v1', 'order.cancelled.v1',
               'order.expired.v1', 'order.delivery_failed.v1', 'order.delivered.v1', 'order.collected.v1')
ORDER BY aggregateid, version DESC;

CREATE TEMP TABLE money ON COMMIT DROP AS
SELECT aggregateid AS order_id,
       coalesce(sum((payload -> 'amount' ->> 'minor')::bigint) FILTER (WHERE type = 'payment.captured.v1'), 0) AS captured,
       coalesce(sum((payload -> 'amount' ->> 'minor')::bigint) FILTER (WHERE type = 'refund.issued.v1'), 0) AS refunded,
       coalesce(sum((payload -> 'amount' ->> 'minor')::bigint) FILTER (WHERE type = 'order.tip_added.v1'), 0) AS tips,
       bool_or(type = 'payment.authorized.v1') AS authorized,
       bool_or(type = 'payment.voided.v1') AS voided,
       bool_or(type = 'payment.failed.v1') AS failed,
       max((payload ->> 'stars')::int) AS rating,
       max(version) AS version,
       max(occurred_at) AS updated_at
FROM src
GROUP BY aggregateid;

INSERT INTO order_summary (order_id, customer_id, service, fulfilment, payment, version, total_minor, captured_minor,
                           refunded_minor, tip_minor, currency, lines, rating, placed_at, updated_at)
SELECT order_id, customer_id, service, state,
       CASE
           WHEN refunded > 0 AND refunded = captured THEN 'refunded'
           WHEN refunded > 0 THEN 'partially_refunded'
           WHEN captured > 0 THEN 'captured'
           WHEN voided THEN 'voided'
           WHEN authorized THEN 'authorized'
           WHEN failed THEN 'failed'
           ELSE 'none'
       END,
       version, total, captured, refunded, tips, currency, lines, rating, at, updated_at
FROM placed
JOIN basket USING (order_id)
JOIN fulfilled USING (order_id)
JOIN money USING (order_id);

INSERT INTO kitchen_board (order_id, state, items, promised_at, since)
SELECT order_id, state, (SELECT sum((line ->> 'quantity')::bigint) FROM json_array_elements(lines) AS line),
       (SELECT (payload ->> 'ready_at')::timestamptz FROM src WHERE aggregateid = order_id AND type = 'order.accepted.v1'),
       since
FROM fulfilled
JOIN basket USING (order_id)
WHERE state IN ('accepted', 'preparing', 'ready');

INSERT INTO customer_stats_shard (customer_id, currency, part, orders, completed, cancelled, spent_minor, refunded_minor,
                                  tips_minor, last_order_at)
SELECT customer_id, currency, part, count(*), count(*) FILTER (WHERE state = 'completed'),
       count(*) FILTER (WHERE state = 'cancelled'), sum(captured), sum(refunded), sum(tips), max(at)
FROM placed
JOIN fulfilled USING (order_id)
JOIN money USING (order_id)
GROUP BY customer_id, currency, part;

INSERT INTO item_popularity_shard (hour, item_id, currency, part, orders, quantity, revenue_minor)
SELECT date_trunc('hour', at, 'UTC'), (line ->> 'item_id')::int, currency, part, count(DISTINCT order_id),
       sum((line ->> 'quantity')::bigint),
       sum((line ->> 'quantity')::bigint * (line -> 'unit_price' ->> 'minor')::bigint)
FROM placed
JOIN basket USING (order_id)
CROSS JOIN json_array_elements(lines) AS line
GROUP BY 1, 2, 3, 4;

INSERT INTO revenue_minute_shard (minute, currency, part, orders, gross_minor, refunded_minor, tips_minor, cancelled)
SELECT date_trunc('minute', occurred_at, 'UTC'), currency, placed.part,
       count(*) FILTER (WHERE type = 'order.placed.v1'),
       coalesce(sum((payload -> 'amount' ->> 'minor')::bigint) FILTER (WHERE type = 'payment.captured.v1'), 0),
       coalesce(sum((payload -> 'amount' ->> 'minor')::bigint) FILTER (WHERE type = 'refund.issued.v1'), 0),
       coalesce(sum((payload -> 'amount' ->> 'minor')::bigint) FILTER (WHERE type = 'order.tip_added.v1'), 0),
       count(*) FILTER (WHERE type = 'order.cancelled.v1')
FROM src
JOIN placed ON placed.order_id = aggregateid
GROUP BY 1, 2, 3;
