# What R makes of the cases of the tests: Rscript fixtures.R > fixtures.json
# Packages: Debian's r-cran-proc, r-cran-survival, r-cran-psych, r-cran-exactranktests, r-cran-jsonlite.
suppressMessages({library(pROC); library(survival); library(psych); library(exactRankTests); library(jsonlite)})
set.seed(20)
n <- 60
label <- rep(c(0, 1), c(35, 25))
one <- round(label + rnorm(n), 1)
two <- round(0.6 * label + rnorm(n), 1)
readers <- round(matrix(rnorm(20 * 3, 0, 0.5), 20) + rnorm(20) + rep(c(0, 0.2, 0.5), each = 20), 2)
pair <- round(cbind(rnorm(15, 5), rnorm(15, 5.6)), 1)
group <- rep(c("a", "b", "c"), c(20, 18, 22))
outcome <- round(matrix(rnorm(n * 3), n) + outer(as.integer(factor(group)), c(0.3, 0, -0.2)), 2)
age <- round(rnorm(n, 60, 8))
time <- round(rexp(n, 0.05) + 1)
event <- rbinom(n, 1, 0.7)
risk <- round(-0.02 * time + rnorm(n), 1)
binary <- cbind(rbinom(40, 1, 0.7), rbinom(40, 1, 0.5))
table2 <- matrix(c(12, 5, 4, 14), 2)
r <- roc(label, one, quiet = TRUE, direction = "<")
r2 <- roc(label, two, quiet = TRUE, direction = "<")
found <- suppressMessages(ICC(readers, lmer = FALSE))$results
c1 <- concordance(Surv(time, event) ~ risk, reverse = TRUE)
c2 <- concordance(Surv(time, event) ~ risk + strata(group), reverse = TRUE)
km <- summary(survfit(Surv(time, event) ~ 1, conf.type = "log-log"))
median_of <- summary(survfit(Surv(time, event) ~ 1, conf.type = "log-log"))$table[c("median", "0.95LCL", "0.95UCL")]
cell <- table(factor(binary[, 1], 0:1), factor(binary[, 2], 0:1))
correlation <- cor.test(one, two)
cat(toJSON(list(
  versions = list(R = R.version.string, pROC = as.character(packageVersion("pROC")),
    survival = as.character(packageVersion("survival")), psych = as.character(packageVersion("psych")),
    exactRankTests = as.character(packageVersion("exactRankTests"))),
  data = list(label = label, one = one, two = two, readers = readers, pair = pair, group = group, outcome = outcome, age = age,
    time = time, event = event, risk = risk, binary = binary, table = table2),
  auc = as.numeric(ci.auc(r, method = "delong")), delong = roc.test(r, r2, method = "delong", paired = TRUE)$p.value,
  icc = as.numeric(found[2, c("ICC", "lower bound", "upper bound")]),
  pearson = c(correlation$estimate, correlation$conf.int, correlation$p.value),
  mcnemar = binom.test(cell[1, 2], cell[1, 2] + cell[2, 1])$p.value, proportion = c(7 / 20, binom.test(7, 20)$conf.int),
  wilcoxon = wilcox.exact(pair[, 1], pair[, 2], paired = TRUE)$p.value,
  welch = t.test(pair[, 1], pair[, 2])$p.value, student = t.test(pair[, 1], pair[, 2], var.equal = TRUE)$p.value,
  paired = t.test(pair[, 1], pair[, 2], paired = TRUE)$p.value,
  mann_whitney = suppressWarnings(wilcox.test(one[label == 1], one[label == 0]))$p.value,
  fisher = fisher.test(table2)$p.value, chi_square = chisq.test(table2)$p.value,
  anova = summary(aov(outcome[, 1] ~ group))[[1]][["Pr(>F)"]][1],
  manova = summary(manova(outcome ~ group))$stats["group", "Pr(>F)"],
  mancova = summary(manova(outcome ~ age + group))$stats["group", "Pr(>F)"],
  kolmogorov = suppressWarnings(ks.test(outcome[, 1], "pnorm", mean(outcome[, 1]), sd(outcome[, 1]), exact = TRUE))$p.value,
  log_rank = pchisq(survdiff(Surv(time, event) ~ group)$chisq, 2, lower.tail = FALSE),
  concordance = c(c1$concordance, sqrt(c1$var)), within = c(c2$concordance, sqrt(c2$var)),
  kaplan_meier = list(time = km$time, survival = km$surv, low = km$lower, high = km$upper, median = as.numeric(median_of))
), digits = NA, auto_unbox = TRUE))
