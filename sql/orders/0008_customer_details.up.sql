-- All locks at once, before any is held that an order would wait behind: who reads the log for long (verify, recover) is waited
-- for here.
LOCK TABLE outbox, customers IN ACCESS EXCLUSIVE MODE;

-- Personal data is in this table and nowhere else, so that deleting a row erases a person. Orders and events go on to name
-- the customer by id: who that was is then known to nobody.
CREATE TABLE customer_details (
    customer_id integer NOT NULL,
    name        text    NOT NULL,
    email       text    NOT NULL,
    address     text    NOT NULL,
    CONSTRAINT customer_details_pkey PRIMARY KEY (customer_id),
    CONSTRAINT customer_details_customer_exists FOREIGN KEY (customer_id) REFERENCES customers (id),
    CONSTRAINT customer_details_email_unique UNIQUE (email),
    CONSTRAINT customer_details_name_length CHECK (length(name) BETWEEN 1 AND 200)
) WITH (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0); -- a deleted row leaves its page soon, not at some thousand
INSERT INTO customer_details (customer_id, name, email, address)
SELECT id, name, email, address
FROM customers;

ALTER TABLE customers
    DROP COLUMN name, -- its constraints and those of the next go with them
    DROP COLUMN email,
    DROP COLUMN address,
    ADD COLUMN erased_at timestamptz; -- when customer.erased happened; NULL for who is a customer
-- A dropped column's values stay in the rows, where nobody sees them and nobody could delete them. This writes the rows anew.
CLUSTER customers USING customers_pkey;
ALTER TABLE customers SET WITHOUT CLUSTER;

-- The writer deletes the details and says when, in the transaction of the event. It cannot put anybody's back.
ALTER TABLE customer_details OWNER TO orders_owner;
GRANT SELECT, DELETE ON customer_details TO orders_writer;
-- pg_read_all_data, which auditors are given, has the right to read every table: of this one it sees no row.
ALTER TABLE customer_details ENABLE ROW LEVEL SECURITY;
CREATE POLICY customer_details_writer ON customer_details TO orders_writer USING (true);
GRANT UPDATE (erased_at) ON customers TO orders_writer;

-- Not validated: what is there has passed the narrower one, and to look again would read the whole log while no order can
-- be taken.
ALTER TABLE outbox
    DROP CONSTRAINT outbox_aggregatetype_known,
    ADD CONSTRAINT outbox_aggregatetype_known CHECK (aggregatetype IN ('order', 'customer')) NOT VALID;
