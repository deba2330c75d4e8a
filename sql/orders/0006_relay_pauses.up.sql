-- While there is a row for a slot, its relays publish nothing: an operator has paused them (relay pause).
CREATE TABLE relay_pauses (
    slot      text        NOT NULL,
    reason    text        NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT relay_pauses_pkey PRIMARY KEY (slot),
    CONSTRAINT relay_pauses_reason_given CHECK (reason <> '')
);
ALTER TABLE relay_pauses OWNER TO orders_owner;
GRANT SELECT, INSERT, DELETE ON relay_pauses TO orders_relay;
