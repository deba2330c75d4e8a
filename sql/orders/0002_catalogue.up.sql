-- Who orders, and what there is to order. Personal data lives here and only here: events carry the customer's id.
CREATE TABLE customers (
    id      integer NOT NULL,
    name    text    NOT NULL,
    email   text    NOT NULL,
    address text    NOT NULL,
    CONSTRAINT customers_pkey PRIMARY KEY (id),
    CONSTRAINT customers_email_unique UNIQUE (email),
    CONSTRAINT customers_name_length CHECK (length(name) BETWEEN 1 AND 200)
);

CREATE TABLE menu_items (
    id          integer NOT NULL,
    name        text    NOT NULL,
    category    text    NOT NULL,
    price_minor bigint  NOT NULL, -- in the currency's minor unit: cents for EUR
    currency    text    NOT NULL, -- ISO 4217
    CONSTRAINT menu_items_pkey PRIMARY KEY (id),
    CONSTRAINT menu_items_name_unique UNIQUE (name),
    CONSTRAINT menu_items_category_known CHECK (category IN ('starter', 'main', 'side', 'dessert', 'drink')),
    CONSTRAINT menu_items_price_positive CHECK (price_minor > 0),
    CONSTRAINT menu_items_currency_shape CHECK (currency ~ '^[A-Z]{3}$')
);
