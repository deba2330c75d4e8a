-- Customers and items that were added since stay; while orders refer to them, the tables' own down migration fails.
DELETE FROM menu_items WHERE id BETWEEN 1 AND 20;
DELETE FROM customers WHERE id BETWEEN 1 AND 100;
