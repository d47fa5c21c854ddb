# What R makes of the patients of the tests: Rscript fixtures.R > fixtures.json
# Packages: Debian's r-cran-glmnet, r-cran-survival, r-cran-jsonlite.
suppressMessages({library(glmnet); library(survival); library(jsonlite)})
set.seed(18)
n <- 90
p <- 12
x <- round(matrix(rnorm(n * p), n) + rnorm(n), 2)
x[, 3] <- round(x[, 3] * 40 + 200)
x[, 4] <- rbinom(n, 1, 0.4)
hazard <- exp(0.6 * x[, 1] - 0.5 * x[, 2] + 0.8 * x[, 4])
death <- round(rexp(n, 0.03 * hazard) + 1)
end <- round(runif(n, 5, 80))
time <- pmin(death, end)
event <- as.integer(death <= end)
y <- Surv(time, event)
covariates <- data.frame(a = x[, 1], b = x[, 2], c = x[, 3], d = x[, 4])
fit <- coxph(y ~ a + b + c + d, covariates, ties = "efron")
# Grambsch and Therneau's test as they print it, of scaled residuals, which cox.zph gave up for a score test in survival 3.
events <- sum(event)
after <- survfit(y ~ 1)
g <- c(1, after$surv)[findInterval(sort(time[event == 1]), after$time, left.open = TRUE) + 1]
g <- (1 - g) - mean(1 - g)
turn <- residuals(fit, "schoenfeld") * 1
v <- vcov(fit)
z <- as.vector(v %*% colSums(g * turn)) * events
each <- z^2 / (events * diag(v) * sum(g^2))
all <- as.numeric(colSums(g * turn) %*% (v %*% colSums(g * turn))) * events / sum(g^2)
path_of <- function(fit) list(lambda = fit$lambda, beta = t(as.matrix(fit$beta)), deviance = fit$dev.ratio)
fold <- rep_len(1:10, n)[order(runif(n))]
cv <- cv.glmnet(x, y, family = "cox", foldid = fold, thresh = 1e-14, maxit = 1e7)
plain <- cv.glmnet(x, y, family = "cox", foldid = fold)
# More features than patients.
wide <- round(matrix(rnorm(40 * 60), 40), 2)
wide_time <- round(rexp(40, 0.05 * exp(wide[, 1] - wide[, 2])) + 1)
wide_event <- rbinom(40, 1, 0.8)
wide_fit <- glmnet(wide, Surv(wide_time, wide_event), family = "cox", thresh = 1e-14, maxit = 1e7)
cat(toJSON(list(
  versions = list(R = R.version.string, survival = as.character(packageVersion("survival")),
    glmnet = as.character(packageVersion("glmnet"))),
  x = x, time = time, event = event, fold = fold, wide = wide, wide_time = wide_time, wide_event = wide_event,
  cox = list(coef = as.numeric(coef(fit)), se = sqrt(diag(vcov(fit))), p = summary(fit)$coefficients[, "Pr(>|z|)"],
    log_likelihood = fit$loglik, concordance = as.numeric(fit$concordance[c("concordance", "std")]),
    proportional = list(each = pchisq(each, 1, lower.tail = FALSE), all = pchisq(all, 4, lower.tail = FALSE))),
  path = path_of(cv$glmnet.fit),
  cv = list(mean = cv$cvm, sd = cv$cvsd, lambda_min = cv$lambda.min, lambda_1se = cv$lambda.1se,
    at_min = as.numeric(coef(cv, s = "lambda.min")), at_1se = as.numeric(coef(cv, s = "lambda.1se"))),
  default = list(lambda_min = plain$lambda.min, lambda_1se = plain$lambda.1se, at_min = as.numeric(coef(plain, s = "lambda.min"))),
  wide_path = path_of(wide_fit)
), digits = NA, auto_unbox = TRUE))
