SELECT
  CAST(CASE WHEN `carrier` IS NOT NULL THEN `carrier` ELSE CAST('it''s' AS STRING) END AS STRING) AS `carrier`,
  CAST(bighead_add(bighead_subtract(`delay`, CAST(15 AS BIGINT), 1), CASE WHEN `late` THEN CAST(1 AS BIGINT) WHEN NOT `late` THEN CAST(0 AS BIGINT) END, 1) AS BIGINT) AS `delay`,
  CAST((CAST(`delay` AS DOUBLE) / NULLIF(`fuel`, 0E0)) AS DOUBLE) AS `per_fuel`,
  `tags` AS `tags`,
  CAST(CASE WHEN (bighead_compare(`fuel`, 1.5E0) > 0) THEN CAST('a' AS STRING) WHEN (((`delay` = CAST(1 AS BIGINT)) OR (`delay` = CAST(2 AS BIGINT))) OR (`late` IS NULL)) THEN CAST('bbb' AS STRING) ELSE CAST(NULL AS STRING) END AS STRING) AS `class`,
  COALESCE(CAST((((bighead_multiply(`delay`, CAST(2 AS BIGINT), 0) >= CAST(0 AS BIGINT)) AND (bighead_multiply(`delay`, CAST(2 AS BIGINT), 0) <= CAST(100 AS BIGINT))) AND (NOT `late`)) AS BOOLEAN), FALSE) AS `__keep`,
  FALSE AS `__back`,
  `at_ms` AS `__time_ms`,
  `__message` AS `__message`
FROM `events`
