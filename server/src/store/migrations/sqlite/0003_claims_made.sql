-- When the link of a claim was made, as in its own row, and NULL before it is
ALTER TABLE claims ADD COLUMN made BIGINT;
